namespace TinyDpo.Dpo;

/// <summary>Answers of one method to the held-out texts, at one sampling temperature.</summary>
/// <param name="Rouge1">Mean F of ROUGE-1.</param>
/// <param name="RougeL">Mean F of ROUGE-L, the reward.</param>
/// <param name="OtherTexts">The same answers' mean ROUGE-L against the references of other texts: what an answer gets that its text had no part in.</param>
/// <param name="Words">Mean number of an answer's words.</param>
/// <param name="BeatsHuman">Share of texts with a human answer where this one has the larger ROUGE-L; a tie counts one half. Null where there is none.</param>
/// <param name="BeatsSft">The same against an independent answer of SFT's model at the same temperature.</param>
/// <param name="BeatsSftOfLikeLength">That over the texts where the two differ in length by a fifth of the longer one at most. Null where there is none.</param>
internal sealed record SummaryScores(
    double Temperature, Interval Rouge1, Interval RougeL, Interval OtherTexts, double Words, Interval? BeatsHuman, Interval BeatsSft,
    Interval? BeatsSftOfLikeLength);

/// <summary>One method's results.</summary>
/// <param name="Kl">KL to SFT's model in nats a summary, at temperature 1; null for what is no policy.</param>
/// <param name="Scores">By temperature.</param>
/// <param name="Shown">The first answers at the first temperature; null where there is none.</param>
internal sealed record SummaryRun(string Method, string Setting, ulong Seed, Interval? Kl, SummaryScores[] Scores, string?[] Shown)
{
    public string Name => $"{Method} {Setting}".Trim();
}

/// <summary>SFT's model as it was trained.</summary>
/// <param name="Parameters">Its numbers that are trained.</param>
/// <param name="HeldOutLoss">Mean negative log-prob of a token of the held-out texts' first summaries, in nats.</param>
/// <param name="CutPrompts">Share of the held-out texts that had to be cut.</param>
internal sealed record SummaryModel(long Parameters, double HeldOutLoss, double CutPrompts);
