using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Dpo;

/// <summary>A loss of the policy's log-probs alone. The reference serves for the rewards that are logged, and for nothing else.</summary>
/// <param name="Beta">Scale of the margin, above 0.</param>
/// <param name="LabelSmoothing">Probability that a label is wrong, in [0, 0.5).</param>
public abstract record ReferenceFreeLosses(double Beta, double LabelSmoothing) : IPreferenceLoss
{
    public double Beta { get; } = Beta > 0 ? Beta : throw new ArgumentOutOfRangeException(nameof(Beta), Beta, "must be above 0");

    public double LabelSmoothing { get; } = ScoreLoss.ValidSmoothing(LabelSmoothing);

    public double? AtReference => null;

    public virtual LossInputs Inputs => LossInputs.None;

    public bool UsesReference => false;

    public abstract Tensor PerPair(PreferenceBatch batch);
}

/// <summary>
/// SimPO (Meng et al. 2024, equation 6): -log sigmoid(beta (log pi(y_w) / |y_w| - log pi(y_l) / |y_l|) - gamma).
/// </summary>
/// <param name="Gamma">The margin that the rewards are to have.</param>
public sealed record SimPoLoss(double Beta = 2, double Gamma = 0.5, double LabelSmoothing = 0) : ReferenceFreeLosses(Beta, LabelSmoothing)
{
    public override Tensor PerPair(PreferenceBatch batch)
    {
        var (chosen, rejected) = batch.PolicyMeans;
        return ScoreLoss.Smoothed((Beta * (chosen - rejected)) - Gamma, LabelSmoothing);
    }
}

/// <summary>
/// AlphaPO (Gupta et al. 2025): SimPO with the reward (1 - p^-alpha) / alpha in the place of log p, where log p is the mean
/// log-prob of a token. Towards alpha 0 it is SimPO.
/// </summary>
/// <param name="Alpha">Shape of the reward, not 0.</param>
public sealed record AlphaPoLoss(double Beta = 2, double Alpha = 0.25, double Gamma = 0.5, double LabelSmoothing = 0)
    : ReferenceFreeLosses(Beta, LabelSmoothing)
{
    public double Alpha { get; } = Alpha != 0 ? Alpha : throw new ArgumentOutOfRangeException(nameof(Alpha), Alpha, "must not be 0");

    public override Tensor PerPair(PreferenceBatch batch)
    {
        var (chosen, rejected) = batch.PolicyMeans;
        return ScoreLoss.Smoothed((Beta * (Reward(chosen) - Reward(rejected))) - Gamma, LabelSmoothing);
    }

    private Tensor Reward(Tensor mean) => (1 - Divergence.BoundedExp(-Alpha * mean)) / Alpha;
}

/// <summary>
/// CPO (Xu et al. 2024): DPO with a uniform reference, -log sigmoid(beta (log pi(y_w) - log pi(y_l))), and alpha times the
/// chosen completions' mean negative log-prob over the batch's tokens.
/// </summary>
/// <param name="Alpha">Weight of the likelihood term, at least 0.</param>
public sealed record CpoLoss(double Beta = 0.1, double Alpha = 1, double LabelSmoothing = 0) : ReferenceFreeLosses(Beta, LabelSmoothing)
{
    public double Alpha { get; } = Alpha >= 0 ? Alpha : throw new ArgumentOutOfRangeException(nameof(Alpha), Alpha, "must be at least 0");

    public override Tensor PerPair(PreferenceBatch batch)
    {
        var preference = ScoreLoss.Smoothed(Beta * (batch.Policy.Chosen - batch.Policy.Rejected), LabelSmoothing);
        return Alpha == 0 ? preference : preference + (Alpha * batch.ChosenNegativeLogLikelihood());
    }
}

/// <summary>
/// ORPO (Hong et al. 2024, equations 6 and 7): the mean negative log-prob of prompt and chosen completion over the batch's tokens, plus
/// beta times -log sigmoid(log odds(y_w) - log odds(y_l)), where odds = p / (1 - p) and log p is the mean log-prob of a token.
/// </summary>
/// <param name="Beta">The paper's lambda, above 0.</param>
public sealed record OrpoLoss(double Beta = 0.1) : ReferenceFreeLosses(Beta, 0)
{
    // Where every token is certain the odds are infinite.
    private const double LargestLogProb = -1e-7;

    public override LossInputs Inputs => LossInputs.Prompts;

    public override Tensor PerPair(PreferenceBatch batch)
    {
        var (chosen, rejected) = batch.PolicyMeans;
        return batch.ChosenNegativeLogLikelihood(withPrompts: true) - (Beta * LogSigmoid(LogOdds(chosen) - LogOdds(rejected)));
    }

    // log(1 - p) = log tanh(-log p / 2) + log(1 + p): 1 - p itself loses all digits as p nears 1.
    private static Tensor LogOdds(Tensor logP)
    {
        var x = logP - Relu(logP - LargestLogProb);
        return x - Log(Tanh(-0.5 * x)) + LogSigmoid(-x);
    }
}
