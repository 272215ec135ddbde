namespace TinyDpo.Dpo;

/// <summary>
/// Pairs that do not hold every answer: every third one is in none. What the loss then leaves open, and what training does with it.
/// </summary>
internal static class PartialSupportClaims
{
    public const string Ratios = "partial support: the answers in pairs get pi*'s proportions: KL among them";
    public const string EqualLoss = "partial support: policies with 1 % and 99 % on answers in no pair have the same, least loss";
    public const string Apart = "partial support: those two minimisers are apart: total variation";
    public const string Dimensions = "partial support: flat directions = components of the graph of pairs - 1: difference";
    public const string Descent = "partial support: descent from pi_ref keeps unheld logits and the mean of the others";
    public const string Drift = "partial support: one pair moves mass to answers in no pair: gain of their log-prob";

    public static IEnumerable<Claim> Check(TheoryCase c)
    {
        var draw = new PairDraw([.. Enumerable.Range(0, c.Count).Select(static i => i % 3 == 2 ? 0.0 : 1.0)]);
        var minima = c.World.Prompts.ToDictionary(static x => x, x => Newton.Minimise(c.Expected(x, draw), x.Reference, draw.Held, c.Cancellation));
        double[] Given(double[] policy) => LogProbs.Normalise([.. draw.Held.Select(i => policy[i])]);
        yield return new(Ratios, "eq. 6, 7", c.Worst(x => LogProbs.Kl(Given(minima[x]), Given(x.Optimal))), 1e-6);

        yield return new(EqualLoss, "eq. 7", c.Worst(x => Math.Max(
            Math.Abs(c.Expected(x, draw).Value(WithMass(minima[x], draw, 0.01)) - c.Expected(x, draw).Value(WithMass(minima[x], draw, 0.99))),
            Math.Abs(c.Expected(x, draw).Value(WithMass(minima[x], draw, 0.01)) - c.Expected(x, draw).Value(x.Optimal)))), TheoryCase.Exact);
        yield return new(
            Apart, "eq. 7", c.Least(x => LogProbs.TotalVariation(WithMass(minima[x], draw, 0.01), WithMass(minima[x], draw, 0.99))), 0.9, AtLeast: true);
        yield return new(Dimensions, "eq. 7", c.Worst(x => DimensionError(c, x)), 0);
        yield return new(Descent, "eq. 7, section 4", c.Worst(x => DescentError(c, x, draw, minima[x])), TheoryCase.Exact);
        yield return new(Drift, "eq. 7", c.Least(x => LargestDrift(c, x)), 1e-4, AtLeast: true);
    }

    // The same proportions within the held and within the others, and this mass on the others.
    private static double[] WithMass(double[] policy, PairDraw draw, double unheld)
    {
        var held = draw.Held.ToHashSet();
        double[] Part(bool inside) => LogProbs.Normalise([.. policy.Select((p, i) => held.Contains(i) == inside ? p : double.NegativeInfinity)]);
        var (inside, outside) = (Part(true), Part(false));
        return [.. policy.Select((_, i) => held.Contains(i) ? inside[i] + Math.Log(1 - unheld) : outside[i] + Math.Log(unheld))];
    }

    // Answers alternate between two kinds that are never compared, and every third is in no pair at all: a component of its own.
    private static double DimensionError(TheoryCase c, TheoryPrompt x)
    {
        int[] groups = [.. Enumerable.Range(0, c.Count).Select(static i => i % 2)];
        var draw = new PairDraw([.. Enumerable.Range(0, c.Count).Select(static i => i % 3 == 2 ? 0.0 : 1.0)], groups);
        var components = 2 + (c.Count - draw.Held.Length);
        var hessian = ((IObjective)c.Expected(x, draw)).Derivatives(x.Optimal).Hessian;
        // One of the flat directions moves all logits together, which changes no policy.
        var flat = c.Count - Cholesky.Rank(hessian, c.Count, 1e-9) - 1;
        return Math.Abs(flat - (components - 1));
    }

    // The gradient by the logits of unheld answers is 0 and that by the others sums to 0, at every policy. So descent ends at
    // log pi_ref(y_i) + (r_i - mean r) / beta, which the minimum found must be, up to a shift of the held.
    private static double DescentError(TheoryCase c, TheoryPrompt x, PairDraw draw, double[] minimum)
    {
        var unheld = Enumerable.Range(0, c.Count).Except(draw.Held).ToArray();
        var conserved = c.Policies(x).Max(policy =>
        {
            var gradient = c.Expected(x, draw).ByLogits(policy);
            return Math.Max(Math.Abs(gradient.Sum()), unheld.Max(i => Math.Abs(gradient[i])));
        });
        var end = DescentEnd(c, x, draw.Held);
        var shift = draw.Held.Average(i => minimum[i] - end[i]);
        return Math.Max(conserved, draw.Held.Max(i => c.Beta * Math.Abs(minimum[i] - shift - end[i])));
    }

    private static double[] DescentEnd(TheoryCase c, TheoryPrompt x, int[] held)
    {
        double[] end = [.. x.Reference];
        var mean = held.Average(i => x.Reward[i]);
        foreach (var i in held)
        {
            end[i] += (x.Reward[i] - mean) / c.Beta;
        }
        return end;
    }

    // Descent on the pair (i, j) moves their logits by +-(r_i - r_j) / (2 beta) and leaves the others, which gain what the normaliser loses.
    // Of all pairs, the one where they gain most: a frequent answer that loses to a rare one gives up more mass than the rare one takes.
    private static double LargestDrift(TheoryCase c, TheoryPrompt x)
    {
        double least = 1;
        for (var i = 0; i < c.Count; i++)
        {
            for (var j = 0; j < i; j++)
            {
                var (p, q) = (Math.Exp(x.Reference[i]), Math.Exp(x.Reference[j]));
                var move = (x.Reward[i] - x.Reward[j]) / (2 * c.Beta);
                least = Math.Min(least, 1 - p - q + (p * Math.Exp(move)) + (q * Math.Exp(-move)));
            }
        }
        return -Math.Log(least);
    }
}
