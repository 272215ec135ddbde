namespace TinyDpo.Dpo;

/// <summary>Tables and charts of reward against KL.</summary>
internal static class FrontierReport
{
    private const int CurvePoints = 41;

    // A ceiling's last point stands for bounds a little beyond it.
    private const double CeilingReach = 0.9;

    // How far beyond the table's last bound the curves go.
    private const double CurveRange = 1.5;

    /// <summary>The best reward of each method within bounds on the KL.</summary>
    /// <param name="name">The experiment's.</param>
    /// <param name="runs">Best-of-N among them.</param>
    /// <param name="klBounds">In nats a sequence, ascending.</param>
    public static ExperimentReport Of(string name, IReadOnlyList<FrontierRun> runs, double[] klBounds)
    {
        var methods = runs.GroupBy(static run => run.Method).ToList();
        // The best of one sample is SFT.
        var sft = Cell(Chosen(runs.Where(static run => run.Method is FrontierArm.BestOf or FrontierArm.BestOfTrue), 0));
        var rewards = ExperimentReport.Table(
            ["method", .. klBounds.Select(static bound => $"KL <= {ExperimentReport.Number(bound)}")],
            [
                [ExperimentWorld.SftMethod, .. klBounds.Select(_ => sft)],
                .. methods.Select(method => (string[])[method.Key, .. klBounds.Select(bound => Cell(Chosen(method, bound)))]),
            ]);
        var choices = ExperimentReport.Table(
            ["method", "bound", "chosen"],
            methods.SelectMany(method => klBounds.Select(
                bound => (string[])[method.Key, ExperimentReport.Number(bound), string.Join("; ", Chosen(method, bound).Select(Choice))])));
        return new ExperimentReport(
            name,
            $"""
            Best mean true reward within a bound on KL(policy || SFT), in nats a sequence. Policies are chosen on half of the prefixes, figures are those of the other half.

            {rewards}
            What was chosen, with the KL and, where there is a grammar, the share that it accepts:

            {choices}
            """,
            LineChart.Draw(
                "mean true reward within a bound on the KL to SFT", "KL bound, nats a sequence",
                [.. methods.Select(method => new ChartLine(method.Key, Curve(method, klBounds[^1] * CurveRange)))], ExperimentReport.Marks));
    }

    /// <summary>Best-of-N by N.</summary>
    public static ExperimentReport BestOf(IReadOnlyList<FrontierRun> runs)
    {
        var (learned, truth) = (ByStep(FrontierArm.BestOf), ByStep(FrontierArm.BestOfTrue));
        var table = ExperimentReport.Table(
            ["N", "KL bound", "chosen by the reward model", "chosen by the true reward"],
            learned.Zip(truth, static (l, t) => (string[])
                [ExperimentReport.Number(l.Key), ExperimentReport.Number(BestOfN.KlBound(l.Key)), Cell([.. l]), Cell([.. t])]));
        return new ExperimentReport(
            ExperimentRun.BestOf,
            $"""
            Mean true reward of the best of N samples of SFT, and the bound log N - (N - 1) / N on its KL, in nats a sequence.

            {table}
            """,
            LineChart.Draw(
                "mean true reward of the best of N", "KL bound, nats a sequence",
                [new("chosen by the reward model", Line(learned)), new("chosen by the true reward", Line(truth))], ExperimentReport.Marks));

        List<IGrouping<int, (FrontierRun Run, FrontierPoint Point)>> ByStep(string method) =>
            [.. runs.Where(run => run.Method == method).SelectMany(static run => run.Points.Select(point => (Run: run, Point: point))).GroupBy(static p => p.Point.Step)];

        static List<(double X, double Y)> Line(List<IGrouping<int, (FrontierRun Run, FrontierPoint Point)>> points) =>
            [.. points.Select(static n => (BestOfN.KlBound(n.Key), n.Average(static p => p.Point.Reporting.Reward)))];
    }

    // One choice a seed; seeds without a point within the bound are left out, and so are those whose ceiling ends before it.
    private static (FrontierRun Run, FrontierPoint Point)[] Chosen(IEnumerable<FrontierRun> method, double bound) =>
    [
        .. method.GroupBy(static run => run.Seed).Select(seed => FrontierRun.Best(seed, bound)).Where(static best => best is not null)
            .Select(static best => best!.Value).Where(best => best.Run.Method != FrontierArm.Ceiling || best.Point.Choosing.Kl >= CeilingReach * bound),
    ];

    private static List<(double X, double Y)> Curve(IEnumerable<FrontierRun> method, double range) =>
    [
        .. Enumerable.Range(0, CurvePoints).Select(i => range * i / (CurvePoints - 1)).Select(bound => (bound, Chosen: Chosen(method, bound)))
            .Where(static p => p.Chosen.Length > 0).Select(static p => (p.bound, p.Chosen.Average(static c => c.Point.Reporting.Reward))),
    ];

    private static string Cell((FrontierRun Run, FrontierPoint Point)[] seeds) => seeds.Length == 0
        ? "none"
        : ExperimentReport.WithInterval(
            [.. seeds.Select(static s => Statistics.FromError(s.Point.Reporting.Reward, s.Point.Reporting.RewardError))], ExperimentReport.Number);

    private static string Choice((FrontierRun Run, FrontierPoint Point) chosen)
    {
        var (run, point) = chosen;
        var share = point.Grammatical is { } grammatical ? FormattableString.Invariant($", {100 * grammatical:0} %") : "";
        return $"{run.Setting} at {point.Step} (KL {ExperimentReport.Number(point.Reporting.Kl)}{share})".TrimStart();
    }
}
