namespace TinyDpo.Dpo;

/// <summary>The frontier of reward against KL, in closed form: the optimal policies of all betas.</summary>
internal static class FrontierClaims
{
    public const string ClosedForm = "on the frontier KL = E[r] / beta - log Z, and d(beta log Z) / dbeta = -KL";
    public const string Price = "the frontier's slope dE[r] / dKL is beta";
    public const string OwnBeta = "at each beta PPO's objective is largest at that beta's optimum: the best other, less it";
    public const string Perturbed = "every change of an optimum lowers PPO's objective: the largest gain";
    public const string Above = "no policy has more reward than the frontier at its KL: the largest excess";

    // About the world's own beta.
    private static readonly double[] s_factors = [0.25, 0.5, 1, 2, 4];

    public static IEnumerable<Claim> Check(TheoryCase c)
    {
        yield return new(ClosedForm, "eq. 3, 4", c.Worst(x => s_factors.Max(f => Math.Max(
            Math.Abs(Kl(x, f * c.Beta) - ((Reward(x, f * c.Beta) / (f * c.Beta)) - LogZ(x, f * c.Beta))),
            Math.Abs(Derivative(f * c.Beta, b => b * LogZ(x, b)) + (f * c.Beta * Kl(x, f * c.Beta))))) / (1 + (1 / c.Beta))), TheoryCase.Difference);
        yield return new(Price, "eq. 3, 4", c.Worst(x => s_factors.Max(f => Math.Abs(
            Derivative(f * c.Beta, b => Reward(x, b)) - (f * c.Beta * Derivative(f * c.Beta, b => Kl(x, b)))))), TheoryCase.Difference);
        yield return new(OwnBeta, "eq. 3", c.Worst(x => s_factors.Max(f => s_factors.Where(g => g != f).Max(g =>
            Objective(x, f * c.Beta, Policy(x, g * c.Beta)) - Objective(x, f * c.Beta, Policy(x, f * c.Beta))))), TheoryCase.Exact);
        yield return new(Perturbed, "eq. 3", c.Worst(x => s_factors.Max(f => c.Directions(8).Max(d =>
            Objective(x, f * c.Beta, LogProbs.Normalise(LogProbs.Add(Policy(x, f * c.Beta), 0.01, d)))
            - Objective(x, f * c.Beta, Policy(x, f * c.Beta))))), TheoryCase.Exact);
        yield return new(Above, "eq. 3, 4", c.Worst(x => c.Policies(x).Select(p =>
            LogProbs.Mean(p, x.Reward) - RewardAt(x, LogProbs.Kl(p, x.Reference))).Aggregate(Math.Max)), TheoryCase.Exact);
    }

    private static double[] Policy(TheoryPrompt x, double beta) => TheoryPrompt.OptimalPolicy(x.Reference, x.Reward, beta);

    private static double LogZ(TheoryPrompt x, double beta) => TheoryPrompt.LogPartition(x.Reference, x.Reward, beta);

    private static double Reward(TheoryPrompt x, double beta) => LogProbs.Mean(Policy(x, beta), x.Reward);

    private static double Kl(TheoryPrompt x, double beta) => LogProbs.Kl(Policy(x, beta), x.Reference);

    private static double Objective(TheoryPrompt x, double beta, double[] policy) =>
        LogProbs.Mean(policy, x.Reward) - (beta * LogProbs.Kl(policy, x.Reference));

    // By the logarithm of beta.
    private static double Derivative(double beta, Func<double, double> f) => TheoryCase.Slope(h => f(beta * Math.Exp(h)));

    // The reward of the frontier's point with this KL, found by bisection; beyond its end, where beta is 0, the largest reward.
    private static double RewardAt(TheoryPrompt x, double kl)
    {
        var (low, high) = (Math.Log(1e-4), Math.Log(1e6));
        if (Kl(x, Math.Exp(low)) <= kl)
        {
            return x.Reward.Max();
        }
        for (var i = 0; i < 60; i++)
        {
            var middle = (low + high) / 2;
            (low, high) = Kl(x, Math.Exp(middle)) > kl ? (middle, high) : (low, middle);
        }
        return Reward(x, Math.Exp(high));
    }
}
