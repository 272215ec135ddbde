namespace TinyDpo.Dpo;

/// <summary>Table and charts of the ablation.</summary>
internal static class AblationReport
{
    /// <param name="runs">DPO over beta, then the other arms.</param>
    /// <param name="options">What they were run with.</param>
    public static ExperimentReport Of(IReadOnlyList<FrontierRun> runs, ExperimentOptions options)
    {
        var arms = runs.GroupBy(static run => (run.Method, run.Setting)).ToList();
        var whole = FrontierArm.WithDpo(options, options.Demo.Beta);
        // What changes the loss changes how far training goes; the rest differs at the end alone.
        var drawn = arms.Where(arm => arm.Key == (whole.Method, whole.Setting) || arm.Key.Method is Ablation.WithoutWeight or Ablation.WithoutReference).ToList();
        return new ExperimentReport(
            ExperimentRun.Ablation,
            $"""
            At the end of training, over all held-out prefixes: mean true reward, KL(policy || SFT) in nats a sequence, and the share of samples that the grammar accepts. All but the rows over beta have beta {ExperimentReport.Number(options.Demo.Beta)}.

            {ExperimentReport.Table(["", "setting", "reward", "KL", "accepted"], arms.Select(static arm => Row(arm.Key, [.. arm.Select(static run => Last(run))])))}
            """,
            Chart("share of samples that the grammar accepts, along training", static p => p.Grammatical ?? double.NaN)
                + Chart("mean true reward, along training", static p => p.Overall.Reward));

        string Chart(string title, Func<FrontierPoint, double> value) => LineChart.Draw(
            title, "step",
            [
                .. drawn.Select(arm => new ChartLine(
                    $"{arm.Key.Method} {arm.Key.Setting}".Trim(),
                    [.. arm.SelectMany(static run => run.Points).GroupBy(static p => p.Step).OrderBy(static g => g.Key).Select(g => ((double)g.Key, g.Average(value)))])),
            ],
            ExperimentReport.Marks);
    }

    private static FrontierPoint Last(FrontierRun run) => run.Points.MaxBy(static p => p.Step)!;

    private static string[] Row((string Method, string Setting) arm, FrontierPoint[] seeds) =>
    [
        arm.Method, arm.Setting,
        ExperimentReport.WithInterval([.. seeds.Select(static p => Statistics.FromError(p.Overall.Reward, p.Overall.RewardError))], ExperimentReport.Number),
        ExperimentReport.Number(seeds.Average(static p => p.Overall.Kl)), ExperimentReport.Percent(seeds.Average(static p => p.Grammatical ?? double.NaN)),
    ];
}
