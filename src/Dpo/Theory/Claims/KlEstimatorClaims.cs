namespace TinyDpo.Dpo;

/// <summary>
/// The KL of equation 3 from samples y of the policy. With l = log(pi(y) / pi_ref(y)): k1 = l, k2 = l^2 / 2, k3 = 1 / e^l - 1 + l (Schulman
/// 2020, "Approximating KL divergence"). What each is on average, and what its gradient is, where samples are held fixed.
/// </summary>
internal static class KlEstimatorClaims
{
    public const string Tokenwise = "KL over sequences is the expected sum of KLs token by token";
    public const string MeanK1 = "E[k1] = KL(pi || pi_ref)";
    public const string MeanK3 = "E[k3] = KL(pi || pi_ref)";
    public const string BiasK2 = "k2 is biased: the largest |E[k2] - KL| / KL of some policies";
    public const string GradientK1 = "E[grad k1] = 0: as a loss k1 teaches nothing";
    public const string GradientK2 = "E[grad k2] = grad KL(pi || pi_ref)";
    public const string GradientK3 = "E[grad k3] = grad KL(pi_ref || pi): the other KL";
    public const string Sampled = "k1, k2, k3 over 20,000 samples: distance from their means in standard errors";

    private const string Source = "KL of eq. 3";
    private const int Samples = 20_000;

    private static readonly Func<double, double>[] s_estimators = [static l => l, static l => l * l / 2, static l => Math.Exp(-l) - 1 + l];

    // Their derivatives by l, which is that by log pi(y).
    private static readonly Func<double, double>[] s_derivatives = [static _ => 1, static l => l, static l => 1 - Math.Exp(-l)];

    public static IEnumerable<Claim> Check(TheoryCase c)
    {
        yield return new(Tokenwise, Source, c.Worst(x => c.Policies(x).Select(p =>
            Math.Abs(c.World.TokenwiseKl(p, x.Reference) - LogProbs.Kl(p, x.Reference)) / (1 + LogProbs.Kl(p, x.Reference)))
            .Aggregate(Math.Max)), TheoryCase.Exact);
        yield return new(MeanK1, Source, c.Worst(x => Math.Abs(Bias(c, x, 0, c.SomePolicy(x)))), TheoryCase.Exact);
        yield return new(MeanK3, Source, c.Worst(x => Math.Abs(Bias(c, x, 2, c.SomePolicy(x)))), TheoryCase.Exact);
        yield return new(BiasK2, Source, c.Least(x => c.Policies(x).Max(p => Math.Abs(Bias(c, x, 1, p)) / LogProbs.Kl(p, x.Reference))), 0.01, AtLeast: true);
        yield return new(GradientK1, Source, c.Worst(x => GradientError(c, x, 0, static (_, _) => 0)), TheoryCase.Exact);
        yield return new(GradientK2, Source, c.Worst(x => GradientError(c, x, 1, LogProbs.Kl)), TheoryCase.Difference);
        yield return new(GradientK3, Source, c.Worst(x => GradientError(c, x, 2, static (p, q) => LogProbs.Kl(q, p))), TheoryCase.Difference);
        yield return new(Sampled, Source, c.Worst(x => SampledDistance(c, x)), 5);
    }

    // The KL comes token by token: over sequences E[k1] is its definition.
    private static double Bias(TheoryCase c, TheoryPrompt x, int estimator, double[] policy) =>
        LogProbs.Mean(policy, i => s_estimators[estimator](policy[i] - x.Reference[i])) - c.World.TokenwiseKl(policy, x.Reference);

    // Along directions of the logits: d log pi_i = d_i - E_pi[d].
    private static double GradientError(TheoryCase c, TheoryPrompt x, int estimator, Func<double[], double[], double> target)
    {
        var policy = c.SomePolicy(x);
        return c.Directions(8).Max(direction =>
        {
            var mean = LogProbs.Mean(policy, direction);
            var expected = LogProbs.Mean(policy, i => s_derivatives[estimator](policy[i] - x.Reference[i]) * (direction[i] - mean));
            return Math.Abs(expected - TheoryCase.Slope(h => target(LogProbs.Normalise(LogProbs.Add(policy, h, direction)), x.Reference)));
        });
    }

    private static double SampledDistance(TheoryCase c, TheoryPrompt x)
    {
        var policy = c.SomePolicy(x);
        double[] cumulative = [.. policy];
        double total = 0;
        for (var i = 0; i < cumulative.Length; i++)
        {
            cumulative[i] = total += Math.Exp(policy[i]);
        }
        var drawn = new double[Samples];
        for (var i = 0; i < drawn.Length; i++)
        {
            var at = Array.BinarySearch(cumulative, total * c.World.Uniform(TheoryDraw.Sample, x.Index, i));
            // Not found, which is the rule, it is the complement of the first place above.
            at = Math.Min(at < 0 ? ~at : at + 1, policy.Length - 1);
            drawn[i] = policy[at] - x.Reference[at];
        }
        return s_estimators.Max(estimator =>
        {
            var expected = LogProbs.Mean(policy, i => estimator(policy[i] - x.Reference[i]));
            var square = LogProbs.Mean(policy, i => estimator(policy[i] - x.Reference[i]) * estimator(policy[i] - x.Reference[i]));
            return Math.Abs(drawn.Average(estimator) - expected) / Math.Sqrt((square - (expected * expected)) / Samples);
        });
    }
}
