using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>How well margins r(x, y_w) - r(x, y_l) predict labels that they were not trained on.</summary>
/// <param name="Loss">Mean -log sigmoid(margin).</param>
/// <param name="Accuracy">Share of pairs whose chosen completion scores more; a tie counts 1/2.</param>
/// <param name="CalibrationError">
/// The expected calibration error (Guo et al. 2017): the mean distance between the confidence sigmoid(|margin|) and the share of pairs that
/// bear it out, over <see cref="Bins"/> bins of confidence of equal width from 1/2 to 1, weighted by their pairs.
/// </param>
public sealed record RewardEvaluation(double Loss, Interval Accuracy, double CalibrationError)
{
    public const int Bins = 10;

    public static RewardEvaluation Measure(
        Transformer model, IReadOnlyList<PreferencePair> pairs, int tokenBudget = SftTask.DefaultTokenBudget, Action<int>? done = null,
        CancellationToken cancellation = default) =>
        OfMargins([.. RewardScores.Measure(model, RewardTask.Rankings(pairs), tokenBudget, done, cancellation).Select(static s => s[0] - s[1])]);

    /// <param name="margins">r(x, y_w) - r(x, y_l), of a reward model or implicit ones; at least one.</param>
    public static RewardEvaluation OfMargins(IReadOnlyList<double> margins)
    {
        var (confidence, borneOut) = (new double[Bins], new double[Bins]);
        double loss = 0, right = 0;
        foreach (var margin in margins)
        {
            var sure = 1 / (1 + Math.Exp(-Math.Abs(margin)));
            var hit = margin > 0 ? 1 : margin == 0 ? 0.5 : 0;
            var bin = Math.Min(Bins - 1, (int)((sure - 0.5) * 2 * Bins));
            confidence[bin] += sure;
            borneOut[bin] += hit;
            right += hit;
            loss += Math.Max(-margin, 0) - Math.Log(sure); // -log sigmoid(margin) without overflow
        }
        return new RewardEvaluation(
            loss / margins.Count, Statistics.Proportion(right, margins.Count),
            confidence.Zip(borneOut, static (c, b) => Math.Abs(c - b)).Sum() / margins.Count);
    }

    /// <summary>The figures by name.</summary>
    public IEnumerable<(string Name, double Value)> Metrics() =>
        [("loss", Loss), ("rewards/accuracies", Accuracy.Estimate), ("calibration_error", CalibrationError)];
}
