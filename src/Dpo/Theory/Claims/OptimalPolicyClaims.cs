namespace TinyDpo.Dpo;

/// <summary>The objective of equation 3, its maximiser, and the reward recovered from it.</summary>
internal static class OptimalPolicyClaims
{
    public const string Listed = "every sequence is listed: pi_ref sums to 1";
    public const string Normalised = "pi_ref exp(r / beta) / Z(x) is a distribution, Z(x) summed over all sequences";
    public const string Best = "no policy beats pi*: the largest J(pi) - J(pi*)";
    public const string Gap = "beta log Z - J(pi) = beta KL(pi || pi*)";
    public const string Stationary = "the gradient of J is 0 at pi*";
    public const string Recovered = "the reward comes back: r = beta log(pi* / pi_ref) + beta log Z";
    public const string ActorCritic = "PPO's objective with the normalised reward is -beta KL(pi || pi*)";

    public static IEnumerable<Claim> Check(TheoryCase c)
    {
        yield return new(Listed, "chain rule", c.Worst(static x => Math.Abs(x.Reference.Sum(Math.Exp) - 1)), TheoryCase.Exact);
        yield return new(Normalised, "eq. 4", c.Worst(DistanceFromOne), TheoryCase.Exact);
        yield return new(
            Best, "eq. 3, 4",
            c.Worst(x => c.Policies(x).Select(p => x.Objective(p) - x.Objective(x.Optimal)).Aggregate(Math.Max)), TheoryCase.Exact);
        yield return new(
            Gap, "eq. 3, 4 (A.1)",
            c.Worst(x => c.Policies(x).Select(p =>
                Relative((c.Beta * x.LogZ) - x.Objective(p), c.Beta * LogProbs.Kl(p, x.Optimal))).Aggregate(Math.Max)), TheoryCase.Exact);
        yield return new(Stationary, "eq. 3", c.Worst(static x => Gradient(x, x.Optimal).Max(Math.Abs)), TheoryCase.Exact);
        yield return new(
            Recovered, "eq. 5",
            c.Worst(x => LogProbs.Largest(c.Count, i => x.Reward[i] - (c.Beta * (x.Optimal[i] - x.Reference[i] + x.LogZ)))), TheoryCase.Exact);
        yield return new(
            ActorCritic, "eq. 10",
            c.Worst(x => c.Policies(x).Select(p => Relative(
                LogProbs.Mean(p, i => x.Reward[i] - (c.Beta * x.LogZ) - (c.Beta * (p[i] - x.Reference[i]))),
                -c.Beta * LogProbs.Kl(p, x.Optimal))).Aggregate(Math.Max)), TheoryCase.Exact);
    }

    // Z by its definition, without logarithms.
    private static double DistanceFromOne(TheoryPrompt x)
    {
        double[] weights = [.. x.Reference.Zip(x.Reward, (q, r) => Math.Exp(q) * Math.Exp(r / x.Beta))];
        var z = weights.Sum();
        return LogProbs.Largest(weights.Length, i => (weights[i] / z) - Math.Exp(x.Optimal[i]));
    }

    // dJ / dlogit_k = pi_k (a_k - E_pi[a]), a = r - beta log(pi / pi_ref): the -beta of the logarithm's own derivative has mean 0.
    private static double[] Gradient(TheoryPrompt x, double[] policy)
    {
        double[] advantage = [.. policy.Select((p, i) => x.Reward[i] - (x.Beta * (p - x.Reference[i])))];
        var mean = LogProbs.Mean(policy, advantage);
        return [.. policy.Select((p, i) => Math.Exp(p) * (advantage[i] - mean))];
    }

    private static double Relative(double actual, double expected) => Math.Abs(actual - expected) / (1 + Math.Abs(expected));
}
