namespace TinyDpo.Dpo;

/// <summary>A tabular policy, trained with DPO to its minimum on exact Bradley-Terry preferences, pairs of every two answers.</summary>
internal static class MinimumClaims
{
    public const string Uniform = "DPO's minimum, pairs drawn uniformly, is pi*: KL(pi || pi*)";
    public const string FromReference = "DPO's minimum, both answers from pi_ref, is pi*: KL(pi || pi*)";
    public const string Same = "both kinds of pairs have the same minimum: total variation";
    public const string AnyStart = "a random start ends in the same minimum: total variation";
    public const string OnFrontier = "DPO's minimum has PPO's best objective: beta log Z - J";

    private const double PaperBound = 1e-6;

    public static IEnumerable<Claim> Check(TheoryCase c)
    {
        var all = Enumerable.Range(0, c.Count).ToArray();
        double[] Minimum(TheoryPrompt x, PairDraw draw, double[] start) =>
            LogProbs.Normalise(Newton.Minimise(c.Expected(x, draw), start, all, c.Cancellation));

        var uniform = c.World.Prompts.ToDictionary(static x => x, x => Minimum(x, PairDraw.Uniform(c.Count), x.Reference));
        yield return new(Uniform, "eq. 7, 4", c.Worst(x => LogProbs.Kl(uniform[x], x.Optimal)), PaperBound);
        var fromReference = c.World.Prompts.ToDictionary(static x => x, x => Minimum(x, PairDraw.From(x.Reference), x.Reference));
        yield return new(FromReference, "eq. 7, 4", c.Worst(x => LogProbs.Kl(fromReference[x], x.Optimal)), PaperBound);
        yield return new(Same, "eq. 7", c.Worst(x => LogProbs.TotalVariation(uniform[x], fromReference[x])), PaperBound);
        yield return new(AnyStart, "eq. 7", c.Worst(x => LogProbs.TotalVariation(
            uniform[x], Minimum(x, PairDraw.Uniform(c.Count), c.RandomStart(x)))), PaperBound);
        yield return new(OnFrontier, "eq. 3, 7", c.Worst(x => Math.Abs((c.Beta * x.LogZ) - x.Objective(uniform[x]))), PaperBound);
    }
}
