using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Dpo;

/// <summary>
/// The f-divergence that keeps the policy near its reference (Wang et al. 2024, "Beyond reverse KL"). With
/// t = pi / pi_ref a completion's score is f'(t), which takes the place of log t in losses of scores; constants are dropped, since they
/// cancel in differences.
/// </summary>
public abstract record Divergence
{
    /// <summary>The largest exponent: exp(40) squared is still a float. Beyond it a score is flat.</summary>
    protected const double MostExponent = 40;

    public static Divergence ReverseKl { get; } = new ReverseKl();

    /// <summary>f'(t) of each log t.</summary>
    public abstract Tensor Score(Tensor logRatio);

    /// <summary>The score where policy and reference agree.</summary>
    public abstract double AtReference { get; }

    public PairLogProbs Scores(PreferenceBatch batch)
    {
        var (chosen, rejected) = batch.LogRatios;
        return new(Score(chosen), Score(rejected));
    }

    /// <summary>exp(x), for x up to <see cref="MostExponent"/>.</summary>
    internal static Tensor BoundedExp(Tensor x) => Exp(x - Relu(x - MostExponent));
}

/// <summary>KL(pi || pi_ref), DPO's own: f(t) = t log t, score log t.</summary>
public sealed record ReverseKl : Divergence
{
    public override Tensor Score(Tensor logRatio) => logRatio;

    public override double AtReference => 0;
}

/// <summary>KL(pi_ref || pi): f(t) = -log t, score -1 / t.</summary>
public sealed record ForwardKl : Divergence
{
    public override Tensor Score(Tensor logRatio) => -BoundedExp(-logRatio);

    public override double AtReference => -1;
}

/// <summary>Jensen-Shannon: f'(t) = log(2 t / (1 + t)), score log sigmoid(log t).</summary>
public sealed record JensenShannon : Divergence
{
    public override Tensor Score(Tensor logRatio) => LogSigmoid(logRatio);

    public override double AtReference => -Math.Log(2);
}

/// <summary>The alpha-divergence: f'(t) = (t^(alpha - 1) - 1) / (alpha - 1), score t^(alpha - 1) / (alpha - 1); alpha 1 is the reverse KL.</summary>
public sealed record AlphaDivergence(double Alpha) : Divergence
{
    private bool IsReverseKl => Math.Abs(Alpha - 1) < 1e-6; // nearer to 1 the score is a difference of huge numbers

    public override Tensor Score(Tensor logRatio) => IsReverseKl ? logRatio : BoundedExp((Alpha - 1) * logRatio) / (Alpha - 1);

    public override double AtReference => IsReverseKl ? 0 : 1 / (Alpha - 1);
}
