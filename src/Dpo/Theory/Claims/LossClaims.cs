namespace TinyDpo.Dpo;

/// <summary>The loss of equation 7 and its gradient, at policies that are not the optimum and at the optimum.</summary>
internal static class LossClaims
{
    public const string Preferences = "the loss under pi* gives each pair its Bradley-Terry probability";
    public const string Identities = "margins are beta times the change of log(pi(y_w) / pi(y_l)), and add along a chain";
    public const string Direct = "the expected loss is that of the probability ratios written out";
    public const string Slope = "the gradient of the expected loss is its slope by finite differences";
    public const string Formula = "the gradient is -beta E[sigmoid(r_l - r_w) (grad log pi(y_w) - grad log pi(y_l))]";
    public const string Stationary = "the gradient is 0 at pi*, however pairs are drawn";
    public const string Entropy = "the loss is the labels' entropy at pi*, and elsewhere more by the KL of the labels";
    public const string Unweighted = "without its weight the gradient is not the loss's: at pi* it is as large as at pi_ref";

    public static IEnumerable<Claim> Check(TheoryCase c)
    {
        yield return new(Preferences, "eq. 6", c.Worst(x => Preference(c, x)), TheoryCase.Exact);
        yield return new(Identities, "eq. 5, 6", c.Worst(x => Identity(c, x)), TheoryCase.Exact);
        yield return new(Direct, "eq. 7", c.Worst(x => DirectLoss(c, x)), TheoryCase.Exact);
        yield return new(Slope, "eq. 7, section 4", c.Worst(x => SlopeError(c, x)), TheoryCase.Difference);
        yield return new(Formula, "section 4 (A.4)", c.Worst(x => FormulaError(c, x)), TheoryCase.Exact);
        yield return new(Stationary, "eq. 6, 7", c.Worst(x => Draws(c, x).Max(draw => Size(c.Expected(x, draw).ByLogits(x.Optimal)))), TheoryCase.Exact);
        yield return new(Entropy, "eq. 7", c.Worst(x => EntropyError(c, x)), TheoryCase.Exact);
        yield return new(Unweighted, "section 4", c.Least(x => UnweightedAtOptimum(c, x)), 0.9, AtLeast: true);
    }

    /// <summary>Pairs drawn uniformly, and both answers from the reference.</summary>
    public static IEnumerable<PairDraw> Draws(TheoryCase c, TheoryPrompt x) => [PairDraw.Uniform(c.Count), PairDraw.From(x.Reference)];

    private static double Preference(TheoryCase c, TheoryPrompt x)
    {
        var rewards = c.Loss.Rewards(x.Optimal, x.Reference, c.World.Lengths);
        // The probability as the loss sees it: exp(-loss).
        return LogProbs.Largest(c.Count * c.Count, k => (k / c.Count, k % c.Count) is var (i, j)
            ? Math.Exp(-c.Loss.At(rewards[i] - rewards[j]).Value) - x.Preference(i, j)
            : 0);
    }

    private static double Identity(TheoryCase c, TheoryPrompt x)
    {
        var policy = c.SomePolicy(x);
        var rewards = c.Loss.Rewards(policy, x.Reference, c.World.Lengths);
        return LogProbs.Largest(c.Count, i =>
        {
            var (j, k) = ((i + 1) % c.Count, (i + 7) % c.Count);
            double Margin(int w, int l) => rewards[w] - rewards[l];
            var odds = c.Beta * (policy[i] - policy[j] - (x.Reference[i] - x.Reference[j]));
            return Math.Max(Math.Abs(Margin(i, j) - odds), Math.Abs(Margin(i, j) + Margin(j, k) - Margin(i, k)));
        });
    }

    // p(y_w over y_l) = a_w / (a_w + a_l) with a = (pi / pi_ref)^beta; the label's two outcomes are counted one after the other.
    private static double DirectLoss(TheoryCase c, TheoryPrompt x)
    {
        var policy = c.SomePolicy(x);
        double[] a = [.. policy.Zip(x.Reference, (p, q) => Math.Pow(Math.Exp(p) / Math.Exp(q), c.Beta))];
        double loss = 0;
        for (var w = 0; w < c.Count; w++)
        {
            for (var l = 0; l < c.Count; l++)
            {
                loss -= w == l ? 0 : x.Preference(w, l) * Math.Log(a[w] / (a[w] + a[l]));
            }
        }
        loss /= (double)c.Count * (c.Count - 1) / 2;
        return Math.Abs(c.Expected(x).Value(policy) - loss);
    }

    private static double SlopeError(TheoryCase c, TheoryPrompt x)
    {
        double worst = 0;
        foreach (var draw in Draws(c, x))
        {
            var expected = c.Expected(x, draw);
            var policy = c.SomePolicy(x);
            var gradient = expected.ByLogits(policy);
            foreach (var direction in c.Directions(4))
            {
                var slope = TheoryCase.Slope(h => expected.Value(LogProbs.Normalise(LogProbs.Add(policy, h, direction))), 1e-3 / Math.Max(1, c.Beta));
                worst = Math.Max(worst, Math.Abs(LogProbs.Dot(gradient, direction) - slope) / Math.Max(1, c.Beta));
            }
        }
        return worst;
    }

    // The formula as it stands: for a softmax over sequences grad log pi(y_w) - grad log pi(y_l) is e_w - e_l.
    private static double FormulaError(TheoryCase c, TheoryPrompt x)
    {
        var policy = c.SomePolicy(x);
        var formula = Weighted(c, x, policy, static margin => 1 / (1 + Math.Exp(margin)));
        var gradient = c.Expected(x).ByLogits(policy);
        return LogProbs.Largest(c.Count, i => (gradient[i] - formula[i]) / c.Beta);
    }

    // Without the weight the loss is linear in the margins, its gradient the same everywhere, and it has no minimum.
    private static double UnweightedAtOptimum(TheoryCase c, TheoryPrompt x) =>
        Size(Weighted(c, x, x.Optimal, static _ => 0.5)) / Size(c.Expected(x).ByLogits(x.Reference));

    // -beta E[weight(r_w - r_l) (e_w - e_l)], pairs drawn uniformly.
    private static double[] Weighted(TheoryCase c, TheoryPrompt x, double[] policy, Func<double, double> weight)
    {
        double[] rewards = [.. policy.Zip(x.Reference, (p, q) => c.Beta * (p - q))];
        var gradient = new double[c.Count];
        for (var w = 0; w < c.Count; w++)
        {
            for (var l = 0; l < c.Count; l++)
            {
                if (w != l)
                {
                    var push = c.Beta * x.Preference(w, l) * weight(rewards[w] - rewards[l]) / ((double)c.Count * (c.Count - 1) / 2);
                    gradient[w] -= push;
                    gradient[l] += push;
                }
            }
        }
        return gradient;
    }

    private static double EntropyError(TheoryCase c, TheoryPrompt x)
    {
        var policy = c.SomePolicy(x);
        var (entropy, divergence) = (0.0, 0.0);
        for (var i = 0; i < c.Count; i++)
        {
            for (var j = 0; j < i; j++)
            {
                var truth = x.Preference(i, j);
                var model = BradleyTerry.Probability(c.Beta, policy[i] - x.Reference[i], policy[j] - x.Reference[j]);
                entropy -= (truth * Math.Log(truth)) + ((1 - truth) * Math.Log(1 - truth));
                divergence += (truth * Math.Log(truth / model)) + ((1 - truth) * Math.Log((1 - truth) / (1 - model)));
            }
        }
        var pairs = (double)c.Count * (c.Count - 1) / 2;
        var expected = c.Expected(x);
        return Math.Max(
            Math.Abs(expected.Value(x.Optimal) - (entropy / pairs)),
            Math.Abs(expected.Value(policy) - expected.Value(x.Optimal) - (divergence / pairs)));
    }

    private static double Size(double[] gradient) => gradient.Max(Math.Abs);
}
