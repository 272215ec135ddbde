namespace TinyDpo.Dpo;

/// <summary>
/// Generalized advantage estimation (Schulman et al. 2015, "High-dimensional continuous control using generalized advantage estimation",
/// equation 16).
/// </summary>
public static class GeneralizedAdvantage
{
    /// <summary>A_t = delta_t + discount lambda A_(t+1), with delta_t = r_t + discount V(s_(t+1)) - V(s_t), and V = 0 behind the end: [tokens].</summary>
    /// <param name="rewards">r_t of each token, [tokens].</param>
    /// <param name="values">V(s_t) of what stands before each token, [tokens].</param>
    /// <exception cref="ArgumentException">The lengths differ.</exception>
    public static double[] Of(ReadOnlySpan<double> rewards, ReadOnlySpan<double> values, double discount, double lambda)
    {
        if (rewards.Length != values.Length)
        {
            throw new ArgumentException($"{rewards.Length} rewards but {values.Length} values");
        }
        var advantages = new double[rewards.Length];
        double next = 0, nextValue = 0;
        for (var t = rewards.Length - 1; t >= 0; t--)
        {
            var delta = rewards[t] + (discount * nextValue) - values[t];
            advantages[t] = next = delta + (discount * lambda * next);
            nextValue = values[t];
        }
        return advantages;
    }
}
