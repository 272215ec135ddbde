using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Dpo;

/// <summary>
/// Direct Preference Optimization (Rafailov et al. 2023, equation 7), with label smoothing the conservative cDPO (Mitchell 2023): the
/// labels are taken to be flipped with that probability. Log-probs are sums over completion tokens.
/// </summary>
/// <param name="Beta">Strength of the pull to the reference, at least 0.</param>
/// <param name="LabelSmoothing">Probability that a label is wrong, in [0, 0.5).</param>
/// <exception cref="ArgumentOutOfRangeException">Beta or LabelSmoothing lies outside.</exception>
public sealed record DpoLoss(double Beta = 0.1, double LabelSmoothing = 0) : IPreferenceLoss
{
    public double Beta { get; } = Beta >= 0 ? Beta : throw new ArgumentOutOfRangeException(nameof(Beta), Beta, "must be at least 0");

    public double LabelSmoothing { get; } = LabelSmoothing is >= 0 and < 0.5
        ? LabelSmoothing
        : throw new ArgumentOutOfRangeException(nameof(LabelSmoothing), LabelSmoothing, "must lie in [0, 0.5)");

    /// <summary>The loss of a pair where policy and reference agree, whatever beta and label smoothing: -log sigmoid(0).</summary>
    public static double AtReference { get; } = Math.Log(2);

    double? IPreferenceLoss.AtReference => AtReference;

    /// <summary>The loss of each pair, [pairs].</summary>
    public Tensor PerPair(PairLogProbs policy, PairLogProbs reference)
    {
        var margin = Beta * ((policy.Chosen - reference.Chosen) - (policy.Rejected - reference.Rejected));
        return LabelSmoothing == 0
            ? -LogSigmoid(margin)
            : -((1 - LabelSmoothing) * LogSigmoid(margin)) - (LabelSmoothing * LogSigmoid(-margin));
    }

    public Tensor PerPair(PreferenceBatch batch) => PerPair(batch.Policy, batch.Reference);

    /// <summary>The loss of a batch: the mean over its pairs.</summary>
    public Tensor Mean(PairLogProbs policy, PairLogProbs reference) => PerPair(policy, reference).Mean();
}
