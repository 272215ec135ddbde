using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Dpo;

/// <summary>A loss of the two completions' scores, which are log-ratios log(pi / pi_ref), or what another divergence makes of them.</summary>
/// <param name="Beta">Strength of the pull to the reference, above 0.</param>
/// <param name="Divergence">Null for the reverse KL, whose score is the log-ratio itself.</param>
/// <exception cref="ArgumentOutOfRangeException">Beta is not above 0.</exception>
public abstract record ScoreLoss(double Beta, Divergence? Divergence) : IPreferenceLoss
{
    public double Beta { get; } = Beta > 0 ? Beta : throw new ArgumentOutOfRangeException(nameof(Beta), Beta, "must be above 0");

    public Divergence Divergence { get; } = Divergence ?? Divergence.ReverseKl;

    public abstract double? AtReference { get; }

    public virtual bool UsesReference => true;

    public virtual Tensor PerPair(PreferenceBatch batch)
    {
        var (chosen, rejected) = Divergence.Scores(batch);
        return OfScores(chosen, rejected);
    }

    /// <summary>The loss of each pair from both scores, [pairs].</summary>
    protected abstract Tensor OfScores(Tensor chosen, Tensor rejected);

    /// <summary>-log sigmoid(x) in double, for values where policy and reference agree.</summary>
    protected static double Softplus(double x) => Math.Max(x, 0) + Math.Log(1 + Math.Exp(-Math.Abs(x)));

    /// <summary>-log sigmoid(margin), whose label is wrong with a probability: cDPO's form, which other losses take over.</summary>
    internal static Tensor Smoothed(Tensor margin, double labelSmoothing) => labelSmoothing == 0
        ? -LogSigmoid(margin)
        : -((1 - labelSmoothing) * LogSigmoid(margin)) - (labelSmoothing * LogSigmoid(-margin));

    /// <exception cref="ArgumentOutOfRangeException">It is not in [<paramref name="least"/>, 0.5).</exception>
    internal static double ValidSmoothing(double value, double least = 0) => value >= least && value < 0.5
        ? value
        : throw new ArgumentOutOfRangeException(nameof(value), value, $"a label smoothing must lie in [{least}, 0.5)");
}

/// <summary>DPO and cDPO over the scores of another divergence (Wang et al. 2024).</summary>
public sealed record DivergenceDpoLoss(double Beta, double LabelSmoothing, Divergence? Divergence) : ScoreLoss(Beta, Divergence)
{
    public double LabelSmoothing { get; } = ValidSmoothing(LabelSmoothing);

    public override double? AtReference => Math.Log(2);

    protected override Tensor OfScores(Tensor chosen, Tensor rejected) => Smoothed(Beta * (chosen - rejected), LabelSmoothing);
}

/// <summary>
/// Robust DPO (Chowdhury et al. 2024, "Provably robust DPO"): cDPO made unbiased where labels are flipped with the probability LabelSmoothing.
/// </summary>
public sealed record RobustLoss(double Beta = 0.1, double LabelSmoothing = 0, Divergence? Divergence = null) : ScoreLoss(Beta, Divergence)
{
    public double LabelSmoothing { get; } = ValidSmoothing(LabelSmoothing);

    public override double? AtReference => Math.Log(2);

    protected override Tensor OfScores(Tensor chosen, Tensor rejected)
    {
        var margin = Beta * (chosen - rejected);
        return ((LabelSmoothing * LogSigmoid(-margin)) - ((1 - LabelSmoothing) * LogSigmoid(margin))) / (1 - (2 * LabelSmoothing));
    }
}

/// <summary>The hinge of SLiC (Zhao et al. 2023) on DPO's margin, as RSO has it (Liu et al. 2024): max(0, 1 - margin).</summary>
public sealed record HingeLoss(double Beta = 0.1, Divergence? Divergence = null) : ScoreLoss(Beta, Divergence)
{
    public override double? AtReference => 1;

    protected override Tensor OfScores(Tensor chosen, Tensor rejected) => Relu(1 - (Beta * (chosen - rejected)));
}

/// <summary>
/// IPO (Azar et al. 2023, equation 17): (h - 1 / (2 beta))^2, where h is the difference of the scores: means over a completion's tokens,
/// as its authors use it, or sums, as the equation has it.
/// </summary>
public sealed record IpoLoss(double Beta = 0.1, bool Mean = true, Divergence? Divergence = null) : ScoreLoss(Beta, Divergence)
{
    public override double? AtReference => !Mean || Divergence.AtReference == 0 ? 1 / (4 * Beta * Beta) : null;

    public override Tensor PerPair(PreferenceBatch batch)
    {
        var (chosen, rejected) = Mean ? batch.PerToken(Divergence.Scores(batch)) : Divergence.Scores(batch);
        return OfScores(chosen, rejected);
    }

    protected override Tensor OfScores(Tensor chosen, Tensor rejected) => Square(chosen - rejected - (1 / (2 * Beta)));
}

/// <summary>DPO with scores a token, TRL's sigmoid_norm: -log sigmoid(beta (score(y_w) / |y_w| - score(y_l) / |y_l|)).</summary>
public sealed record SigmoidNormLoss(double Beta = 0.1, bool Mean = true, Divergence? Divergence = null) : ScoreLoss(Beta, Divergence)
{
    public override double? AtReference => !Mean || Divergence.AtReference == 0 ? Math.Log(2) : null;

    public override Tensor PerPair(PreferenceBatch batch)
    {
        var (chosen, rejected) = Mean ? batch.PerToken(Divergence.Scores(batch)) : Divergence.Scores(batch);
        return OfScores(chosen, rejected);
    }

    protected override Tensor OfScores(Tensor chosen, Tensor rejected) => -LogSigmoid(Beta * (chosen - rejected));
}

/// <summary>
/// EXO for pairs (Ji et al. 2024, equation 16): KL(p || q) of p = (sigmoid(margin), sigmoid(-margin)) from the labels
/// q = (1 - epsilon, epsilon).
/// </summary>
/// <param name="LabelSmoothing">epsilon, above 0: with 0 the loss is infinite.</param>
public sealed record ExoPairLoss(double Beta = 0.1, double LabelSmoothing = 1e-3, Divergence? Divergence = null) : ScoreLoss(Beta, Divergence)
{
    public double LabelSmoothing { get; } = ValidSmoothing(LabelSmoothing, double.Epsilon);

    public override double? AtReference => Math.Log(0.5) - (0.5 * (Math.Log(1 - LabelSmoothing) + Math.Log(LabelSmoothing)));

    protected override Tensor OfScores(Tensor chosen, Tensor rejected)
    {
        var margin = Beta * (chosen - rejected);
        return (Sigmoid(margin) * (LogSigmoid(margin) - Math.Log(1 - LabelSmoothing)))
            + (Sigmoid(-margin) * (LogSigmoid(-margin) - Math.Log(LabelSmoothing)));
    }
}

/// <summary>
/// NCA for pairs (Chen et al. 2024, "Noise contrastive alignment of language models with explicit rewards", K = 2): each reward r = beta score by itself,
/// -log sigmoid(r_w) - (log sigmoid(-r_w) + log sigmoid(-r_l)) / 2.
/// </summary>
public sealed record NcaPairLoss(double Beta = 0.1, Divergence? Divergence = null) : ScoreLoss(Beta, Divergence)
{
    public override double? AtReference => Softplus(-Beta * Divergence.AtReference) + Softplus(Beta * Divergence.AtReference);

    protected override Tensor OfScores(Tensor chosen, Tensor rejected)
    {
        var (w, l) = (Beta * chosen, Beta * rejected);
        return -LogSigmoid(w) - (0.5 * LogSigmoid(-w)) - (0.5 * LogSigmoid(-l));
    }
}

/// <summary>
/// BCO's classifier on pairs (Jung et al. 2024, "Binary classifier optimization") with the reward shift delta at 0: -log sigmoid(r_w) - log sigmoid(-r_l).
/// </summary>
public sealed record BcoPairLoss(double Beta = 0.1, Divergence? Divergence = null) : ScoreLoss(Beta, Divergence)
{
    public override double? AtReference => Softplus(-Beta * Divergence.AtReference) + Softplus(Beta * Divergence.AtReference);

    protected override Tensor OfScores(Tensor chosen, Tensor rejected) => -LogSigmoid(Beta * chosen) - LogSigmoid(-Beta * rejected);
}

/// <summary>SPPO (Wu et al. 2024, equation 4.7) with hard labels: the scores are drawn to +1/(2 beta) and -1/(2 beta).</summary>
public sealed record SppoHardLoss(double Beta = 0.1, Divergence? Divergence = null) : ScoreLoss(Beta, Divergence)
{
    public override double? AtReference => Squared(Divergence.AtReference - (0.5 / Beta)) + Squared(Divergence.AtReference + (0.5 / Beta));

    protected override Tensor OfScores(Tensor chosen, Tensor rejected) => Square(chosen - (0.5 / Beta)) + Square(rejected + (0.5 / Beta));

    private static double Squared(double x) => x * x;
}

/// <summary>
/// DiscoPOP's log-ratio modulated loss (Lu et al. 2024, equation 5): with s = sigmoid(margin / tau), the blend
/// -(1 - s) log sigmoid(margin) + s exp(-margin).
/// </summary>
/// <param name="Tau">Temperature of the blend, above 0, at most 1: a larger one lets exp(-margin) overflow.</param>
public sealed record DiscoPopLoss(double Beta = 0.1, double Tau = 0.05, Divergence? Divergence = null) : ScoreLoss(Beta, Divergence)
{
    public double Tau { get; } = Tau is > 0 and <= 1 ? Tau : throw new ArgumentOutOfRangeException(nameof(Tau), Tau, "must lie in (0, 1]");

    public override double? AtReference => (Math.Log(2) + 1) / 2;

    // s exp(-margin) in one exponential: as a product it is 0 times infinity for a margin of -1e4.
    protected override Tensor OfScores(Tensor chosen, Tensor rejected)
    {
        var margin = Beta * (chosen - rejected);
        return Exp(LogSigmoid(margin / Tau) - margin) - (Sigmoid(-margin / Tau) * LogSigmoid(margin));
    }
}

/// <summary>
/// DPO-Positive (Pal et al. 2024, "Smaug"): DPO's margin less lambda for each nat by which the chosen completion has become
/// less probable than under the reference.
/// </summary>
/// <param name="Beta">As DPO's.</param>
/// <param name="Lambda">Weight of that penalty, at least 0.</param>
public sealed record DpopLoss(double Beta = 0.1, double Lambda = 50) : ScoreLoss(Beta, null)
{
    public double Lambda { get; } = Lambda >= 0 ? Lambda : throw new ArgumentOutOfRangeException(nameof(Lambda), Lambda, "must be at least 0");

    public override double? AtReference => Math.Log(2);

    protected override Tensor OfScores(Tensor chosen, Tensor rejected) => -LogSigmoid(Beta * (chosen - rejected - (Lambda * Relu(-chosen))));
}
