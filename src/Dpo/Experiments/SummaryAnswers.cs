namespace TinyDpo.Dpo;

/// <summary>
/// Held-out texts, and answers to them judged. Of a text with several summaries the first is the human answer, and the others are the references
/// that judge it and every method's; of a text with one that one is the reference.
/// </summary>
internal sealed class SummaryAnswers
{
    private readonly SummaryExample[] _texts;

    public SummaryAnswers(SummaryExample[] texts)
    {
        _texts = texts;
        HumanAnswers = [.. texts.Select(static t => t.Targets.Length > 1 ? t.Targets[0] : null)];
    }

    /// <summary>A summary by a person of each text that has another to judge it by; null for the rest.</summary>
    public string?[] HumanAnswers { get; }

    /// <summary>The first sentence of each text.</summary>
    public string[] FirstSentences => [.. _texts.Select(static t => t.Source[0])];

    /// <summary>What judges answers to each text.</summary>
    public string[] References(int text) => _texts[text].Targets.Length > 1 ? _texts[text].Targets[1..] : _texts[text].Targets;

    /// <param name="answers">One a text; null where there is none, which leaves the text out.</param>
    /// <param name="sft">SFT's, which the win rate is against.</param>
    public SummaryScores Judge(double temperature, IReadOnlyList<string?> answers, IReadOnlyList<string> sft)
    {
        int[] answered = [.. Enumerable.Range(0, _texts.Length).Where(i => answers[i] is not null)];
        int[] withHuman = ReferenceEquals(answers, HumanAnswers) ? [] : [.. answered.Where(i => HumanAnswers[i] is not null)];
        int[] alike = [.. answered.Where(i => OfLikeLength(answers[i]!, sft[i]))];
        return new SummaryScores(
            temperature,
            Statistics.Mean(F(Rouge.One, answers, answered)),
            Statistics.Mean(F(Rouge.L, answers, answered)),
            Statistics.Mean(F(Rouge.L, answers, answered, shift: 1)),
            answered.Average(i => Rouge.Words(answers[i]!).Length),
            Wins(withHuman, HumanAnswers),
            Wins(answered, sft)!.Value,
            Wins(alike, sft));

        Interval? Wins(int[] texts, IReadOnlyList<string?> others) =>
            texts.Length == 0 ? null : Statistics.WinRate(F(Rouge.L, answers, texts), F(Rouge.L, others, texts));
    }

    // The answers' F against the references of the text that is so many further on.
    private double[] F(Func<string, string, RougeScore> measure, IReadOnlyList<string?> answers, int[] texts, int shift = 0) =>
        [.. texts.Select(i => Rouge.BestF(measure, answers[i]!, References((i + shift) % _texts.Length)))];

    private static bool OfLikeLength(string a, string b)
    {
        var (shorter, longer) = (Rouge.Words(a).Length, Rouge.Words(b).Length);
        (shorter, longer) = (Math.Min(shorter, longer), Math.Max(shorter, longer));
        return 5 * (longer - shorter) <= longer;
    }
}
