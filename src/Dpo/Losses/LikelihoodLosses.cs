using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>
/// Supervised fine-tuning on the chosen completions: the mean negative log-prob over their tokens in the batch. With weight alpha beside
/// DPO it makes RPO (Pang et al. 2024, "Iterative reasoning preference optimization").
/// </summary>
public sealed record SftLoss : IPreferenceLoss
{
    public double Beta => 1;

    public double? AtReference => null;

    public bool UsesReference => false;

    public Tensor PerPair(PreferenceBatch batch) => batch.ChosenNegativeLogLikelihood();
}

/// <summary>
/// Unlikelihood (Welleck et al. 2020) as the baseline of Rafailov et al. 2023, section 6: -log pi(y_w) + alpha log pi(y_l), sums over
/// tokens. It has no lower bound.
/// </summary>
/// <param name="Alpha">Weight of the rejected completion, at least 0.</param>
public sealed record UnlikelihoodLoss(double Alpha = 1) : IPreferenceLoss
{
    public double Alpha { get; } = Alpha >= 0 ? Alpha : throw new ArgumentOutOfRangeException(nameof(Alpha), Alpha, "must be at least 0");

    public double Beta => 1;

    public double? AtReference => null;

    public bool UsesReference => false;

    public Tensor PerPair(PreferenceBatch batch) => (Alpha * batch.Policy.Rejected) - batch.Policy.Chosen;
}
