namespace TinyDpo.Dpo;

/// <summary>What stands beside the progress bar.</summary>
public static class ProgressLine
{
    public static string Of(StepReport report)
    {
        var line = FormattableString.Invariant($"loss {report["loss"]:0.0000}");
        if (report.Metrics.Any(static m => m.Name == "rewards/margins"))
        {
            line += FormattableString.Invariant($"  margin {report["rewards/margins"]:0.000}");
        }
        return line + FormattableString.Invariant($"  {report["tokens/s"]:0} tokens/s");
    }
}
