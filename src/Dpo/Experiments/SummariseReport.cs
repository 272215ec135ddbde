using System.Globalization;

namespace TinyDpo.Dpo;

/// <summary>Tables of the summarisation experiment.</summary>
internal static class SummariseReport
{
    private static readonly string[] s_header =
        ["method", "ROUGE-1", "ROUGE-L", "of other texts", "words", "KL", "beats the human", "beats SFT", "of like length"];

    /// <param name="models">SFT's, by seed.</param>
    /// <param name="runs">Of all seeds.</param>
    public static ExperimentReport Of(SummaryModel[] models, SummaryRun[] runs, SummaryExample[] heldOut)
    {
        double[] temperatures = [.. runs[0].Scores.Select(static s => s.Temperature)];
        return new ExperimentReport(
            SummariseRun.Name,
            $"""
            SFT's model has {models[0].Parameters} parameters, and on the held-out texts' first summaries a loss of {ExperimentReport.Number(models.Average(static m => m.HeldOutLoss))} nats a token; {ExperimentReport.Percent(models.Average(static m => m.CutPrompts))} of the texts were cut to fit.

            {SummariseRun.Human} is a row of the {heldOut.Count(static t => t.Targets.Length > 1)} texts, of {heldOut.Length}, that have another summary to judge it by; so is "beats the human".

            {string.Concat(temperatures.Select((t, i) => $"Temperature {ExperimentReport.Number(t)}:\n\n{Table(runs, i)}\n"))}
            The first held-out texts' summaries at temperature {ExperimentReport.Number(temperatures[0])}, of seed {runs[0].Seed}:

            {Samples([.. runs.Where(r => r.Seed == runs[0].Seed)], heldOut)}
            """,
            "");
    }

    private static string Table(SummaryRun[] runs, int temperature) => ExperimentReport.Table(s_header, runs.GroupBy(static r => r.Name).Select(run =>
    {
        SummaryScores[] scores = [.. run.Select(r => r.Scores[temperature])];
        return (string[])
        [
            run.Key,
            ExperimentReport.WithInterval([.. scores.Select(static s => s.Rouge1)], ExperimentReport.Number),
            ExperimentReport.WithInterval([.. scores.Select(static s => s.RougeL)], ExperimentReport.Number),
            ExperimentReport.Number(scores.Average(static s => s.OtherTexts.Estimate)),
            scores.Average(static s => s.Words).ToString("0.0", CultureInfo.InvariantCulture),
            run.First().Kl is null ? "" : ExperimentReport.Number(run.Average(static r => r.Kl!.Value.Estimate)),
            Rate(scores.Select(static s => s.BeatsHuman)),
            Rate(scores.Select(static s => (Interval?)s.BeatsSft)),
            Rate(scores.Select(static s => s.BeatsSftOfLikeLength)),
        ];
    }));

    // Empty where a seed has no such texts.
    private static string Rate(IEnumerable<Interval?> seeds) =>
        seeds.Any(static s => s is null) ? "" : ExperimentReport.WithInterval([.. seeds.Select(static s => s!.Value)], ExperimentReport.Percent);

    private static string Samples(SummaryRun[] runs, SummaryExample[] heldOut) => string.Join('\n', Enumerable.Range(0, runs[0].Shown.Length).Select(i =>
        $"{i + 1}. line {heldOut[i].Line}\n" + string.Concat(runs.Where(run => run.Shown[i] is not null).Select(run => $"   - {run.Name}: {OneLine(run.Shown[i]!)}\n"))));

    private static string OneLine(string text) => string.Join(' ', text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
}
