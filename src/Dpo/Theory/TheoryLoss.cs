namespace TinyDpo.Dpo;

/// <summary>
/// The loss under test, in plain double: a curve over the margin u = r(y_w) - r(y_l) of implicit rewards r(y) = scale log(pi(y) /
/// pi_ref(y)). The claims are handed one, so that a test can plant an error and see which of them fail.
/// </summary>
public abstract class TheoryLoss
{
    /// <summary>What turns the log-ratio of a completion of so many tokens into its implicit reward.</summary>
    public abstract double Scale(int length);

    /// <summary>The loss at a margin, its derivative and its second derivative there.</summary>
    public abstract (double Value, double Slope, double Curvature) At(double margin);

    /// <summary>The implicit rewards of all sequences, up to a function of the prompt.</summary>
    public double[] Rewards(double[] policy, double[] reference, int[] lengths) =>
        [.. policy.Select((p, i) => Scale(lengths[i]) * (p - reference[i]))];
}

/// <summary>DPO as in <see cref="DpoLoss"/> (Rafailov et al. 2023, equation 7): -log sigmoid(u), with beta as scale.</summary>
public class TheoryDpoLoss(double beta) : TheoryLoss
{
    public override double Scale(int length) => beta;

    // l' = -sigmoid(-u), l'' = sigmoid(u) sigmoid(-u), from one exponential that cannot overflow.
    public override (double Value, double Slope, double Curvature) At(double margin)
    {
        var e = Math.Exp(-Math.Abs(margin));
        var (large, small) = (1 / (1 + e), e / (1 + e));
        return (Math.Max(-margin, 0) + Math.Log(1 + e), margin > 0 ? -small : -large, large * small);
    }
}
