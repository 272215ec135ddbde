namespace TinyDpo.Dpo;

/// <summary>What a policy is to learn from rollouts: the advantage of each token, and the return that a value function is to predict.</summary>
/// <param name="Advantages">[rollouts][tokens].</param>
/// <param name="Returns">[rollouts][tokens].</param>
public sealed record RolloutAdvantages(double[][] Advantages, double[][] Returns)
{
    /// <param name="rollouts">Those of one prompt stand together.</param>
    /// <param name="coefficient">Of the KL penalty.</param>
    public static RolloutAdvantages Of(IReadOnlyList<Rollout> rollouts, double coefficient, PpoOptions options)
    {
        double[][] rewards = [.. rollouts.Select(r => r.Rewards(coefficient))];
        if (options.WhitenRewards)
        {
            Whiten(rewards, shiftMean: false);
        }
        double[][] advantages = options.Estimator == AdvantageEstimator.Generalized
            ? [.. rollouts.Zip(rewards, (r, earned) => GeneralizedAdvantage.Of(earned, r.Values, options.Discount, options.Lambda))]
            : LeaveOneOut(rewards, options.SamplesPerPrompt);
        double[][] returns = [.. rollouts.Zip(advantages, static (r, a) => a.Zip(r.Values, static (advantage, value) => advantage + value).ToArray())];
        if (options.WhitenAdvantages)
        {
            Whiten(advantages, shiftMean: true);
        }
        // The gradient of a state's entropy is E[-log pi(a) grad log pi(a)]: as good as an advantage of -log pi(a).
        foreach (var (rollout, advantage) in rollouts.Zip(advantages))
        {
            for (var t = 0; t < advantage.Length; t++)
            {
                advantage[t] -= options.EntropyCoefficient * rollout.LogProbs[t];
            }
        }
        return new RolloutAdvantages(advantages, returns);
    }

    /// <summary>
    /// A completion's return less the mean return of the prompt's others (Ahmadian et al. 2024, "Back to basics", section 3.3), for each of
    /// its tokens: [rollouts][tokens].
    /// </summary>
    /// <param name="rewards">[rollouts][tokens], those of one prompt together.</param>
    internal static double[][] LeaveOneOut(double[][] rewards, int samplesPerPrompt) =>
    [
        .. rewards.Chunk(samplesPerPrompt).SelectMany(static samples =>
        {
            double[] returns = [.. samples.Select(static r => r.Sum())];
            var total = returns.Sum();
            return samples.Select((r, i) => Enumerable.Repeat(returns[i] - ((total - returns[i]) / (returns.Length - 1)), r.Length).ToArray());
        }),
    ];

    /// <summary>Gives all numbers together standard deviation 1 and, if asked for, mean 0; equal ones stay as they are, but for the mean.</summary>
    internal static void Whiten(double[][] values, bool shiftMean)
    {
        var count = values.Sum(static v => v.Length);
        var mean = values.Sum(static v => v.Sum()) / count;
        var deviation = Math.Sqrt(values.Sum(v => v.Sum(x => (x - mean) * (x - mean))) / count);
        var scale = deviation > 0 ? 1 / deviation : 1;
        var shift = shiftMean ? 0 : mean;
        foreach (var row in values)
        {
            for (var i = 0; i < row.Length; i++)
            {
                row[i] = ((row[i] - mean) * scale) + (shift * scale);
            }
        }
    }
}
