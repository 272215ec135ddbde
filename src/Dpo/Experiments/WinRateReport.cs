namespace TinyDpo.Dpo;

/// <summary>Tables and charts of win rates against the world's own answers.</summary>
internal static class WinRateReport
{
    /// <summary>Win rates by method and temperature.</summary>
    public static ExperimentReport Temperature(IReadOnlyList<WinRatePoint> points)
    {
        var lines = points.GroupBy(static p => p.Method)
            .Select(static method => new ChartLine(method.Key, [.. method.GroupBy(static p => p.Temperature).Select(static t => (t.Key, t.Average(static p => p.WinRate.Estimate)))]));
        return new ExperimentReport(
            ExperimentRun.Temperature,
            $"""
            Win rate against the world's own answers by the true reward, by sampling temperature; in brackets the interval, then the share that the grammar accepts.

            {ByTemperature(points)}
            """,
            LineChart.Draw("win rate against the world's own answers", "sampling temperature", [.. lines], ExperimentReport.Marks));
    }

    /// <summary>Win rates along DPO's training.</summary>
    public static ExperimentReport TrainingCurve(IReadOnlyList<WinRatePoint> points)
    {
        double[] temperatures = [.. points.Select(static p => p.Temperature).Distinct().Order()];
        var table = ExperimentReport.Table(
            ["step", .. temperatures.Select(static t => $"temperature {ExperimentReport.Number(t)}")],
            points.GroupBy(static p => p.Step).OrderBy(static g => g.Key)
                .Select(step => (string[])[ExperimentReport.Number(step.Key), .. temperatures.Select(t => Cell(step.Where(p => p.Temperature == t)))]));
        return new ExperimentReport(
            ExperimentRun.TrainingCurve,
            $"""
            Win rate of DPO's policy against the world's own answers along its training; in brackets the interval, then the share that the grammar accepts.

            {table}
            """,
            LineChart.Draw(
                "win rate along DPO's training", "step",
                [
                    .. temperatures.Select(t => new ChartLine(
                        $"temperature {ExperimentReport.Number(t)}",
                        [.. points.Where(p => p.Temperature == t).GroupBy(static p => p.Step).Select(static s => ((double)s.Key, s.Average(static p => p.WinRate.Estimate)))])),
                ],
                ExperimentReport.Marks));
    }

    /// <summary>Win rates on prompts like those of training, and on others.</summary>
    public static ExperimentReport Shift(IReadOnlyList<ShiftResult> seeds) => new(
        ExperimentRun.Shift,
        $"""
        Win rate against the world's own answers, by sampling temperature; in brackets the interval, then the share that the grammar accepts.

        Prompts as in training:

        {ByTemperature([.. seeds.SelectMany(static s => s.Same)])}
        Prompts that hold a review's first sentence, as no preference pair's did:

        {ByTemperature([.. seeds.SelectMany(static s => s.Shifted)])}
        """,
        "");

    private static string ByTemperature(IReadOnlyList<WinRatePoint> points)
    {
        double[] temperatures = [.. points.Select(static p => p.Temperature).Distinct().Order()];
        return ExperimentReport.Table(
            ["method", .. temperatures.Select(ExperimentReport.Number)],
            points.GroupBy(static p => p.Method).Select(method => (string[])[method.Key, .. temperatures.Select(t => Cell(method.Where(p => p.Temperature == t)))]));
    }

    private static string Cell(IEnumerable<WinRatePoint> seeds) =>
        $"{ExperimentReport.WithInterval([.. seeds.Select(static p => p.WinRate)], ExperimentReport.Percent)}, {ExperimentReport.Percent(seeds.Average(static p => p.Grammatical))}";
}
