using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Dpo;

/// <summary>The weighted sum of several losses.</summary>
/// <exception cref="ArgumentException">There is no term.</exception>
public sealed record SumLoss(IReadOnlyList<(IPreferenceLoss Loss, double Weight)> Terms) : IPreferenceLoss
{
    public IReadOnlyList<(IPreferenceLoss Loss, double Weight)> Terms { get; } = Terms.Count > 0 ? Terms : throw new ArgumentException("a sum of no losses");

    /// <summary>That of the first term.</summary>
    public double Beta => Terms[0].Loss.Beta;

    public double? AtReference => Terms.Aggregate((double?)0, static (sum, term) => sum + (term.Weight * term.Loss.AtReference));

    public bool UsesReference => Terms.Any(static term => term.Loss.UsesReference);

    public bool TakesUnpaired => Terms.All(static term => term.Loss.TakesUnpaired);

    public LossInputs Inputs => Terms.Aggregate(LossInputs.None, static (inputs, term) => inputs | term.Loss.Inputs);

    public Tensor PerPair(PreferenceBatch batch) => Terms.Select(t => t.Weight * t.Loss.PerPair(batch)).Aggregate(static (a, b) => a + b);

    public override string ToString() => string.Join(" + ", Terms.Select(static t => $"{t.Weight:R} {t.Loss}"));
}

/// <summary>A loss that takes the reference to be uniform: its log-probs count as 0.</summary>
public sealed record WithoutReferenceLoss(IPreferenceLoss Loss) : IPreferenceLoss
{
    public double Beta => Loss.Beta;

    public double? AtReference => null;

    public bool UsesReference => false;

    public bool TakesUnpaired => Loss.TakesUnpaired;

    public LossInputs Inputs => Loss.Inputs;

    public Tensor PerPair(PreferenceBatch batch)
    {
        var zero = batch.Constant(new Real[batch.Policy.Chosen.Shape.Count]);
        return Loss.PerPair(batch with { Reference = new PairLogProbs(zero, zero) });
    }
}

/// <summary>
/// WPO (Zhou et al. 2024, equation 2 with its sampled alignment): each pair's loss times w(y_w) w(y_l), where log w is the mean over a
/// completion's tokens of log p - log(the sum of p^2 over the vocabulary). The weights get no gradient.
/// </summary>
public sealed record WeightedLoss(IPreferenceLoss Loss) : IPreferenceLoss
{
    public double Beta => Loss.Beta;

    public double? AtReference => null;

    public bool UsesReference => Loss.UsesReference;

    public LossInputs Inputs => Loss.Inputs | LossInputs.Confidence;

    public Tensor PerPair(PreferenceBatch batch)
    {
        var (chosen, rejected) = PreferenceBatch.Required(batch.Confidence, "confidence of the policy");
        return Exp(chosen + rejected) * Loss.PerPair(batch);
    }
}

/// <summary>
/// LD-DPO (Liu et al. 2024, "Length desensitization in direct preference optimization"): tokens past the length of the pair's shorter completion count
/// with weight alpha in every log-prob, policy's and reference's.
/// </summary>
/// <param name="Loss">A loss of these log-probs.</param>
/// <param name="TailWeight">alpha, from 0 to 1.</param>
public sealed record LengthDesensitizedLoss(IPreferenceLoss Loss, double TailWeight) : IPreferenceLoss
{
    public double TailWeight { get; } = TailWeight is >= 0 and <= 1 ? TailWeight : throw new ArgumentOutOfRangeException(nameof(TailWeight), TailWeight, "must lie in [0, 1]");

    public double Beta => Loss.Beta;

    public double? AtReference => Loss.AtReference;

    public bool UsesReference => Loss.UsesReference;

    public LossInputs Inputs => Loss.Inputs;

    public Tensor PerPair(PreferenceBatch batch) => Loss.PerPair(batch);
}
