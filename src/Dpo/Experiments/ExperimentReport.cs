using System.Globalization;
using System.Text;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>An experiment's figures: tables in Markdown, and a chart.</summary>
/// <param name="Name">As on the command line.</param>
/// <param name="Markdown">The tables.</param>
/// <param name="Chart">A figure with its caption.</param>
public sealed record ExperimentReport(string Name, string Markdown, string Chart)
{
    private const int Marks = 12, CurvePoints = 41;

    // A ceiling's last point stands for bounds a little beyond it.
    private const double CeilingReach = 0.9;

    // How far beyond the table's last bound the curves go.
    private const double CurveRange = 1.5;

    /// <summary>Writes OUT/NAME.md and OUT/NAME.html.</summary>
    /// <exception cref="InputException">They cannot be written.</exception>
    public void Write(string folder)
    {
        AtomicFile.WriteText(Path.Combine(folder, Name + ".md"), Markdown);
        AtomicFile.WriteText(
            Path.Combine(folder, Name + ".html"),
            $"{ReportStyle.Head}<h1>TinyDpo: {Name}</h1>\n<main id=\"main\">\n{Chart}<pre>{Html.Escape(Markdown)}</pre>\n</main></body></html>\n");
    }

    internal static ExperimentReport Frontier(IReadOnlyList<FrontierRun> runs, ExperimentOptions options)
    {
        var methods = runs.GroupBy(static run => run.Method).ToList();
        var text = new StringBuilder("Best mean true reward within a bound on KL(policy || SFT), in nats a sequence. Policies are chosen on half of the prefixes, figures are those of the other half.\n\n");
        AppendRow(text, ["method", .. options.KlBounds.Select(static bound => $"KL <= {Number(bound)}")]);
        AppendRow(text, [.. Enumerable.Repeat("---", options.KlBounds.Length + 1)]);
        // The best of one sample is SFT.
        AppendRow(text, ["SFT", .. options.KlBounds.Select(_ => Cell(Chosen(runs.Where(static run => run.Method == FrontierArm.BestOf), 0)))]);
        foreach (var method in methods)
        {
            AppendRow(text, [method.Key, .. options.KlBounds.Select(bound => Cell(Chosen(method, bound)))]);
        }
        text.Append("\nWhat was chosen, with the KL and the share that the grammar accepts:\n\n");
        AppendRow(text, ["method", "bound", "chosen"]);
        AppendRow(text, ["---", "---", "---"]);
        foreach (var (method, bound) in methods.SelectMany(method => options.KlBounds.Select(bound => (method, bound))))
        {
            AppendRow(text, [method.Key, Number(bound), string.Join("; ", Chosen(method, bound).Select(Choice))]);
        }
        return new ExperimentReport("frontier", text.ToString(), LineChart.Draw(
            "mean true reward within a bound on the KL to SFT", "KL bound, nats a sequence",
            [.. methods.Select(method => new ChartLine(method.Key, Curve(method, options.KlBounds[^1] * CurveRange)))], Marks));
    }

    internal static ExperimentReport BestOf(IReadOnlyList<FrontierRun> runs)
    {
        var (learned, truth) = (ByStep(FrontierArm.BestOf), ByStep(FrontierArm.BestOfTrue));
        var text = new StringBuilder("Mean true reward of the best of N samples of SFT, and the bound log N - (N - 1) / N on its KL, in nats a sequence.\n\n");
        AppendRow(text, ["N", "KL bound", "chosen by the reward model", "chosen by the true reward"]);
        AppendRow(text, [.. Enumerable.Repeat("---", 4)]);
        foreach (var (l, t) in learned.Zip(truth))
        {
            AppendRow(text, [Number(l.Key), Number(BestOfN.KlBound(l.Key)), Cell([.. l]), Cell([.. t])]);
        }
        return new ExperimentReport("best-of-n", text.ToString(), LineChart.Draw(
            "mean true reward of the best of N", "KL bound, nats a sequence",
            [new("chosen by the reward model", Line(learned)), new("chosen by the true reward", Line(truth))], Marks));

        List<IGrouping<int, (FrontierRun Run, FrontierPoint Point)>> ByStep(string method) =>
            [.. runs.Where(run => run.Method == method).SelectMany(static run => run.Points.Select(point => (Run: run, Point: point))).GroupBy(static p => p.Point.Step)];

        static List<(double X, double Y)> Line(List<IGrouping<int, (FrontierRun Run, FrontierPoint Point)>> points) =>
            [.. points.Select(static n => (BestOfN.KlBound(n.Key), n.Average(static p => p.Point.Reporting.Reward)))];
    }

    internal static ExperimentReport RewardCurve(IReadOnlyList<RewardCurvePoint> points)
    {
        var sizes = points.GroupBy(static p => p.Pairs).OrderBy(static g => g.Key).ToList();
        var text = new StringBuilder("Accuracy on held-out pairs as the mean probability of the annotator's agreement; ECE is the expected calibration error.\n\n");
        AppendRow(text, ["pairs", "best possible", "reward model", "its ECE", "DPO's implicit reward", "its ECE"]);
        AppendRow(text, [.. Enumerable.Repeat("---", 6)]);
        foreach (var size in sizes)
        {
            AppendRow(text,
            [
                Number(size.Key), Percent(Mean(size, static p => p.BayesAccuracy)), Percent(Mean(size, static p => p.Learned.Accuracy)),
                Percent(Mean(size, static p => p.Learned.CalibrationError)), Percent(Mean(size, static p => p.Implicit.Accuracy)),
                Percent(Mean(size, static p => p.Implicit.CalibrationError)),
            ]);
        }
        return new ExperimentReport("reward-model", text.ToString(), LineChart.Draw(
            "accuracy on held-out pairs", "pairs learnt from",
            [Line("best possible", static p => p.BayesAccuracy), Line("reward model", static p => p.Learned.Accuracy), Line("DPO's implicit reward", static p => p.Implicit.Accuracy)],
            Marks));

        ChartLine Line(string name, Func<RewardCurvePoint, double> value) => new(name, [.. sizes.Select(size => ((double)size.Key, Mean(size, value)))]);

        static double Mean(IEnumerable<RewardCurvePoint> seeds, Func<RewardCurvePoint, double> value) => seeds.Average(value);

        static string Percent(double value) => (100 * value).ToString("0.0", CultureInfo.InvariantCulture) + " %";
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

    private static string Cell((FrontierRun Run, FrontierPoint Point)[] seeds)
    {
        if (seeds.Length == 0)
        {
            return "none";
        }
        var interval = seeds.Length > 1
            ? Statistics.MeanOfFew([.. seeds.Select(static s => s.Point.Reporting.Reward)])
            : Statistics.FromError(seeds[0].Point.Reporting.Reward, seeds[0].Point.Reporting.RewardError);
        return $"{Number(interval.Estimate)} ({Number(interval.Low)} to {Number(interval.High)})";
    }

    private static string Choice((FrontierRun Run, FrontierPoint Point) chosen)
    {
        var (run, point) = chosen;
        var share = point.Grammatical is { } grammatical ? FormattableString.Invariant($", {100 * grammatical:0} %") : "";
        return $"{run.Setting} at {point.Step} (KL {Number(point.Reporting.Kl)}{share})".TrimStart();
    }

    private static void AppendRow(StringBuilder text, IReadOnlyList<string> cells) => text.Append($"| {string.Join(" | ", cells)} |\n");

    private static string Number(double value) => value.ToString("0.###", CultureInfo.InvariantCulture);
}
