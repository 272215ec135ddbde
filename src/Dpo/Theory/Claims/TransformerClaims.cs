using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>
/// A small transformer, trained from random weights on the same exact preferences. It shares weights between sequences and stops after
/// a fixed number of steps, so it comes near the minimum and not into it.
/// </summary>
internal static class TransformerClaims
{
    public const string Distribution = "transformer: the engine's log-probs of all sequences are a distribution: |sum - 1|";
    public const string Residual = "transformer: what training leaves of the KL to pi*: KL(pi || pi*) / KL(pi_ref || pi*)";
    public const string Loss = "transformer: what training leaves of the loss above its minimum, as a fraction of that of pi_ref";

    public const int Steps = 400;
    private const double LearningRate = 1e-2;

    /// <param name="c">World and loss.</param>
    /// <param name="backend">Where the transformer runs.</param>
    /// <param name="advance">Told the steps made.</param>
    public static IEnumerable<Claim> Check(TheoryCase c, IBackend backend, Action<int> advance)
    {
        var policies = Train(c, backend, advance);
        yield return new(Distribution, "chain rule", policies.Max(static p => Math.Abs(p.Sum(Math.Exp) - 1)), 1e-4);
        double[] normalised(int x) => LogProbs.Normalise(policies[x]);
        yield return new(Residual, "eq. 7, eq. 4", c.Worst(x => LogProbs.Kl(normalised(x.Tokens[0]), x.Optimal) / LogProbs.Kl(x.Reference, x.Optimal)), 0.1);
        yield return new(Loss, "eq. 7", c.Worst(x =>
        {
            var expected = c.Expected(x);
            var least = expected.Value(x.Optimal);
            return (expected.Value(normalised(x.Tokens[0])) - least) / (expected.Value(x.Reference) - least);
        }), 0.1);
    }

    // The engine runs all sequences; the loss's exact derivatives by their log-probs go back into it as the cotangent.
    private static double[][] Train(TheoryCase c, IBackend backend, Action<int> advance)
    {
        var (vocabulary, length) = (c.World.Options.Vocabulary, c.World.Options.Length);
        var model = new Transformer(
            new ModelConfig
            {
                VocabSize = vocabulary,
                HiddenSize = 32,
                Layers = 2,
                Heads = 2,
                KeyValueHeads = 2,
                HeadSize = 16,
                IntermediateSize = 64,
                MaxPositions = length,
                RopeTheta = 100,
                RmsNormEpsilon = 1e-5,
                TieEmbeddings = false,
            },
            backend);
        model.Initialise(c.World.Options.Seed);
        var optimiser = new AdamW(model.Weights, weightDecay: 0);
        var schedule = new LearningRateSchedule(ScheduleKind.Cosine, LearningRate, Steps / 20, Steps);
        var expected = c.World.Prompts.Select(x => c.Expected(x)).ToArray();
        try
        {
            for (var step = 0; ; step++)
            {
                c.Cancellation.ThrowIfCancellationRequested();
                using var scope = new StepScope(backend, gradients: step < Steps);
                var sums = model.SequenceLogProbs(PackedBatch.Pack(backend, [.. c.World.Prompts.Select(x => new PromptGroup(x.Tokens, c.World.Sequences))]));
                var policies = Split(sums.ToArray(), expected.Length);
                if (step == Steps)
                {
                    return policies;
                }
                model.Weights.ClearGradients();
                sums.Backward(Join([.. expected.Select((loss, x) => loss.ByLogProbs(policies[x]))]));
                optimiser.Step(schedule.At(step));
                advance(step + 1);
            }
        }
        finally
        {
            optimiser.Free();
            model.Weights.Free();
        }
    }

    // A packed batch holds the first sequence of every prompt, then the second of every prompt.
    private static double[][] Split(Real[] sums, int prompts) =>
        [.. Enumerable.Range(0, prompts).Select(x => (double[])[.. sums.Where((_, i) => i % prompts == x).Select(static s => (double)s)])];

    private static Real[] Join(double[][] gradients) =>
        [.. Enumerable.Range(0, gradients[0].Length).SelectMany(i => gradients.Select(g => (Real)g[i]))];
}
