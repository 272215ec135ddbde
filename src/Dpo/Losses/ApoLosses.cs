using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Dpo;

/// <summary>
/// APO-zero (D'Oosterlinck et al. 2024, equation 7), for chosen completions better than the model's own: (1 - sigmoid(r_w)) + sigmoid(r_l)
/// of the rewards r = beta log(pi / pi_ref): the first up, the second down.
/// </summary>
public sealed record ApoZeroLoss(double Beta = 0.1) : ScoreLoss(Beta, null)
{
    public override double? AtReference => 1;

    protected override Tensor OfScores(Tensor chosen, Tensor rejected) => Sigmoid(-Beta * chosen) + Sigmoid(Beta * rejected);
}

/// <summary>
/// APO-down (D'Oosterlinck et al. 2024, equation 8), for completions worse than the model's own: sigmoid(r_w) + (1 - sigmoid(margin)), both
/// down, the rejected further. As in TRL another divergence is that of the margin alone.
/// </summary>
public sealed record ApoDownLoss(double Beta = 0.1, Divergence? Divergence = null) : IPreferenceLoss
{
    public double Beta { get; } = Beta > 0 ? Beta : throw new ArgumentOutOfRangeException(nameof(Beta), Beta, "must be above 0");

    public Divergence Divergence { get; } = Divergence ?? Divergence.ReverseKl;

    public double? AtReference => 1;

    public Tensor PerPair(PreferenceBatch batch)
    {
        var (chosen, rejected) = Divergence.Scores(batch);
        return Sigmoid(Beta * batch.LogRatios.Chosen) + Sigmoid(-Beta * (chosen - rejected));
    }
}

/// <summary>
/// APO-zero over completions, not pairs (TRL's KTO trainer, apo_zero_unpaired): the mean over a row's completions, for pairs half of
/// <see cref="ApoZeroLoss"/>.
/// </summary>
public sealed record ApoZeroUnpairedLoss(double Beta = 0.1) : IPreferenceLoss
{
    public double Beta { get; } = Beta > 0 ? Beta : throw new ArgumentOutOfRangeException(nameof(Beta), Beta, "must be above 0");

    public double? AtReference => 0.5;

    public bool TakesUnpaired => true;

    public Tensor PerPair(PreferenceBatch batch)
    {
        var (chosen, rejected) = batch.LogRatios;
        var (good, bad) = batch.CompletionShares();
        return (good * Sigmoid(-Beta * chosen)) + (bad * Sigmoid(Beta * rejected));
    }
}
