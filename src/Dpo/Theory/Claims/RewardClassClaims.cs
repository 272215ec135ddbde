namespace TinyDpo.Dpo;

/// <summary>Rewards that differ by a function of the prompt are one class: section 5.1.</summary>
internal static class RewardClassClaims
{
    public const string SamePreferences = "rewards that differ by f(x) give the same preferences";
    public const string SamePolicy = "rewards that differ by f(x) give the same optimal policy";
    public const string Projection = "r - beta log Z is of r's class, is beta log(pi* / pi_ref), and sums pi_ref exp(r / beta) to 1";
    public const string OneImage = "all rewards of a class have the same r - beta log Z";
    public const string Unique = "no other of the class sums to 1: a shift by c multiplies by exp(c / beta)";
    public const string EveryPolicy = "every policy is optimal for its implicit reward beta log(pi / pi_ref)";

    public static IEnumerable<Claim> Check(TheoryCase c)
    {
        var f = c.World.Prompts.Select((_, x) => 3 * c.World.Normal(TheoryDraw.Shift, 0, x)).ToArray();
        double[] Shifted(TheoryPrompt x) => Array.ConvertAll(x.Reward, r => r + f[x.Index]);

        yield return new(SamePreferences, "lemma 1 (A.5)", c.Worst(x =>
        {
            var shifted = Shifted(x);
            return Pairs(c.Count, (i, j) => BradleyTerry.Probability(1, shifted[i], shifted[j]) - x.Preference(i, j));
        }), TheoryCase.Exact);
        yield return new(
            SamePolicy, "lemma 2 (A.5)", c.Worst(x => Distance(TheoryPrompt.OptimalPolicy(x.Reference, Shifted(x), c.Beta), x.Optimal)), TheoryCase.Exact);
        yield return new(Projection, "theorem 1, eq. 8, 9 (A.6)", c.Worst(x =>
        {
            var projected = Project(x, x.Reward);
            return Math.Max(
                Math.Max(Math.Abs(Sum(x, projected) - 1), Distance(projected, [.. x.Optimal.Zip(x.Reference, (p, q) => c.Beta * (p - q))])),
                Pairs(c.Count, (i, j) => projected[i] - projected[j] - (x.Reward[i] - x.Reward[j])));
        }), TheoryCase.Exact);
        yield return new(OneImage, "theorem 1, eq. 8", c.Worst(x => Distance(Project(x, Shifted(x)), Project(x, x.Reward))), TheoryCase.Exact);
        yield return new(Unique, "proposition 1 (A.6), eq. 9", c.Worst(x => new[] { -0.5, -0.01, 0.01, 0.5 }.Max(shift =>
        {
            var sum = Sum(x, [.. Project(x, x.Reward).Select(r => r + (shift * c.Beta))]);
            return Math.Abs((sum / Math.Exp(shift)) - 1);
        })), TheoryCase.Exact);
        yield return new(EveryPolicy, "theorem 1, eq. 4", c.Worst(x => c.Policies(x).Max(p =>
            Distance(TheoryPrompt.OptimalPolicy(x.Reference, [.. p.Zip(x.Reference, (a, q) => c.Beta * (a - q))], c.Beta), p))), TheoryCase.Exact);
    }

    // Equation 8.
    private static double[] Project(TheoryPrompt x, double[] reward)
    {
        var shift = x.Beta * TheoryPrompt.LogPartition(x.Reference, reward, x.Beta);
        return Array.ConvertAll(reward, r => r - shift);
    }

    // The left side of equation 9.
    private static double Sum(TheoryPrompt x, double[] reward) => LogProbs.Mean(x.Reference, i => Math.Exp(reward[i] / x.Beta));

    private static double Distance(double[] a, double[] b) => LogProbs.Largest(a.Length, i => a[i] - b[i]);

    private static double Pairs(int count, Func<int, int, double> f) => LogProbs.Largest(count * count, k => f(k / count, k % count));
}
