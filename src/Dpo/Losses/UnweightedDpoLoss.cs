using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>
/// DPO without the weight of its gradient, the ablation of Rafailov et al. 2023, section 4: 1/2 takes the place of sigmoid(-margin), so that a
/// pair pulls as hard as ever once the rewards order it right. The loss with that gradient is the tangent of DPO's at margin 0,
/// log 2 - margin / 2, which has no lower bound.
/// </summary>
public sealed record UnweightedDpoLoss(double Beta = 0.1, Divergence? Divergence = null) : ScoreLoss(Beta, Divergence)
{
    public override double? AtReference => Math.Log(2);

    public override bool UsesReference => Divergence is not ReverseKl; // its log-ratios part from log-probs by constants

    protected override Tensor OfScores(Tensor chosen, Tensor rejected) => Math.Log(2) - (Beta / 2 * (chosen - rejected));
}
