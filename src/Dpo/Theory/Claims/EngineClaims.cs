using TinyDpo.Kernels;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>The loss that training runs, <see cref="DpoLoss"/> through tensors and the tape, against the loss under test, on every pair.</summary>
internal static class EngineClaims
{
    public const string Loss = "the engine's DpoLoss gives the loss of every pair: largest difference, in units of its rounding";
    public const string Derivatives = "the engine's derivatives by log pi(y_w) and log pi(y_l) are -+ beta sigmoid(-margin), in units of rounding";

    // The last places of Real, as a fraction.
    private static readonly double s_epsilon = Math.Pow(2, sizeof(Real) == 4 ? -24 : -53);

    public static IEnumerable<Claim> Check(TheoryCase c, IBackend backend)
    {
        var worst = c.World.Prompts.Select(x => Differences(c, x, backend)).Aggregate(static (a, b) => (Math.Max(a.Loss, b.Loss), Math.Max(a.Derivative, b.Derivative)));
        yield return new(Loss, "eq. 7", worst.Loss, 1);
        yield return new(Derivatives, "section 4 (A.4)", worst.Derivative, 1);
    }

    /// <remarks>
    /// The margin: three differences of numbers up to M and a product, each rounded to epsilon of at most 4 M beta; slope and curvature of
    /// the loss by it are at most 1. Then some roundings of the loss itself and of its derivative, by functions within a few ulp.
    /// </remarks>
    private static (double Loss, double Derivative) Differences(TheoryCase c, TheoryPrompt x, IBackend backend)
    {
        // What the engine is given, as it is given it: rounding on the way in is not its error.
        Real[] policy = [.. c.SomePolicy(x).Select(static p => (Real)p)], reference = [.. x.Reference.Select(static q => (Real)q)];
        var rewards = c.Loss.Rewards([.. policy.Select(static p => (double)p)], [.. reference.Select(static q => (double)q)], c.World.Lengths);
        var largest = Math.Max(policy.Max(Math.Abs), reference.Max(Math.Abs));
        var ofMargin = 8 * s_epsilon * c.Beta * largest;
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
                lossError = Math.Max(lossError, Math.Abs(perPair[l] - value) / (ofMargin + (8 * s_epsilon * (1 + value))));
                var tolerance = c.Beta * (ofMargin + (8 * s_epsilon));
                derivativeError = Math.Max(derivativeError, Math.Abs(dChosen[l] - (slope * c.Loss.Scale(c.World.Lengths[w]))) / tolerance);
                derivativeError = Math.Max(derivativeError, Math.Abs(dRejected[l] + (slope * c.Loss.Scale(c.World.Lengths[l]))) / tolerance);
            }
        }
        return (lossError, derivativeError);
    }
}
