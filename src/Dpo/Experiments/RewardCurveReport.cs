namespace TinyDpo.Dpo;

/// <summary>Table and chart of the reward model's learning curve.</summary>
internal static class RewardCurveReport
{
    public static ExperimentReport Of(IReadOnlyList<RewardCurvePoint> points)
    {
        var sizes = points.GroupBy(static p => p.Pairs).OrderBy(static g => g.Key).ToList();
        var table = ExperimentReport.Table(
            ["pairs", "best possible", "reward model", "its ECE", "its epoch", "DPO's implicit reward", "its ECE"],
            sizes.Select(static size => (string[])
            [
                ExperimentReport.Number(size.Key), Mean(size, static p => p.BayesAccuracy), Mean(size, static p => p.Learned.Accuracy),
                Mean(size, static p => p.Learned.CalibrationError), string.Join(", ", size.Select(static p => p.LearnedEpoch)), Mean(size, static p => p.Implicit.Accuracy), Mean(size, static p => p.Implicit.CalibrationError),
            ]));
        return new ExperimentReport(
            ExperimentRun.RewardModel,
            $"""
            Accuracy on held-out pairs as the mean probability of the annotator's agreement; ECE is the expected calibration error.
            The reward model is that of the epoch with the least loss on validation pairs, which are among neither.

            {table}
            """,
            LineChart.Draw(
                "accuracy on held-out pairs", "pairs learnt from",
                [
                    Line("best possible", static p => p.BayesAccuracy), Line("reward model", static p => p.Learned.Accuracy),
                    Line("DPO's implicit reward", static p => p.Implicit.Accuracy),
                ],
                ExperimentReport.Marks));

        ChartLine Line(string name, Func<RewardCurvePoint, double> value) => new(name, [.. sizes.Select(size => ((double)size.Key, size.Average(value)))]);

        static string Mean(IEnumerable<RewardCurvePoint> seeds, Func<RewardCurvePoint, double> value) => ExperimentReport.Percent(seeds.Average(value));
    }
}
