using TinyDpo.Kernels;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>The loss that training runs, <see cref="DpoLoss"/> through tensors and the tape, against the loss under test, on every pair.</summary>
internal static class EngineClaims
{
    public const string Loss = "the engine's DpoLoss is the loss of every pair: difference over its rounding";
    public const string Derivatives = "the engine's derivatives by both log-probs are -+ beta sigmoid(-margin): over rounding";

    // The last places of Real, as a fraction.
    private static readonly double s_epsilon = Math.Pow(2, sizeof(Real) == 4 ? -24 : -53);

    public static IEnumerable<Claim> Check(TheoryCase c, IBackend backend)
    {
        var worst = c.World.Prompts.Select(x => Differences(c, x, backend)).Aggregate(
            static (a, b) => (Math.Max(a.Loss, b.Loss), Math.Max(a.Derivative, b.Derivative)));
        yield return new(Loss, "eq. 7", worst.Loss, 1);
        yield return new(Derivatives, "section 4 (A.4)", worst.Derivative, 1);
    }

    /// <remarks>
    /// The margin: both log-ratios are rounded, their difference, beta, and the product. The loss rises with it by at most 1, its derivative
    /// by 1/4. Both are then computed by functions within a few ulp, and multiplied by beta.
    /// </remarks>
    private static (double Loss, double Derivative) Differences(TheoryCase c, TheoryPrompt x, IBackend backend)
    {
        // What the engine is given, as it is given it: rounding on the way in is not its error.
        Real[] policy = [.. c.SomePolicy(x).Select(static p => (Real)p)], reference = [.. x.Reference.Select(static q => (Real)q)];
        var rewards = c.Loss.Rewards([.. policy.Select(static p => (double)p)], [.. reference.Select(static q => (double)q)], c.World.Lengths);
        double[] ratios = [.. policy.Zip(reference, static (p, q) => (double)p - q)];
        var loss = new DpoLoss(c.Beta);
        var (lossError, derivativeError) = (0.0, 0.0);
        for (var w = 0; w < c.Count; w++)
        {
            c.Cancellation.ThrowIfCancellationRequested();
            var chosen = w;
            using var step = new StepScope(backend);
            var pairs = PairLogProbs.Of(backend, [.. policy.Select(_ => policy[chosen])], policy, requiresGrad: true);
            var values = loss.PerPair(pairs, PairLogProbs.Of(backend, [.. reference.Select(_ => reference[chosen])], reference));
            var perPair = values.ToArray();
            values.Sum().Backward();
            var (dChosen, dRejected) = (pairs.Chosen.GradToArray(), pairs.Rejected.GradToArray());
            for (var l = 0; l < c.Count; l++)
            {
                if (l == w)
                {
                    continue;
                }
                var (value, slope, _) = c.Loss.At(rewards[w] - rewards[l]);
                var ofMargin = s_epsilon * c.Beta * (Math.Abs(ratios[w]) + Math.Abs(ratios[l]) + (3 * Math.Abs(ratios[w] - ratios[l])));
                lossError = Math.Max(lossError, Math.Abs(perPair[l] - value) / (ofMargin + (4 * s_epsilon * Math.Max(value, double.Epsilon))));
                var tolerance = c.Beta * ((ofMargin / 4) + (4 * s_epsilon));
                derivativeError = Math.Max(derivativeError, Math.Abs(dChosen[l] - (slope * c.Loss.Scale(c.World.Lengths[w]))) / tolerance);
                derivativeError = Math.Max(derivativeError, Math.Abs(dRejected[l] + (slope * c.Loss.Scale(c.World.Lengths[l]))) / tolerance);
            }
        }
        return (lossError, derivativeError);
    }
}
