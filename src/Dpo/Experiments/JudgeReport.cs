namespace TinyDpo.Dpo;

/// <summary>Tables of judges against annotators.</summary>
internal static class JudgeReport
{
    public static ExperimentReport Of(IReadOnlyList<JudgeResult> results)
    {
        string[] methods = [.. results.Select(static r => r.Method).Distinct()];
        return new ExperimentReport(
            ExperimentRun.Judges,
            $"""
            How often a judge says what an annotator drew, on answers of a policy against the world's own, in random order:

            {Table(static r => r.Agreement)}
            The policy's win rate by that judge:

            {Table(static r => r.WinRate)}
            """,
            "");

        string Table(Func<JudgeResult, Interval> value) => ExperimentReport.Table(
            ["judge", .. methods],
            results.GroupBy(static r => r.Judge).Select(judge => (string[])
                [judge.Key, .. methods.Select(method => ExperimentReport.WithInterval([.. judge.Where(r => r.Method == method).Select(value)], ExperimentReport.Percent))]));
    }
}
