using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>
/// A small transformer, trained from random weights on the same exact preferences. It shares weights between sequences and stops after
/// a fixed number of steps, so it comes near the minimum and not into it. The bounds hold in every world that the command takes; most, and
/// the default's, are far inside. The KL is the looser: it counts the few likely answers, the loss all pairs.
/// </summary>
internal static class TransformerClaims
{
    public const string Distribution = "transformer: its log-probs of all sequences are a distribution: |sum - 1|";
    public const string Residual = "transformer: the share of KL(pi || pi*) that training leaves";
    public const string Loss = "transformer: the share of the loss above its minimum that training leaves";

    public const int Steps = 600;
    private const double LearningRate = 5e-3;

    // The deviation of 0.02 that models begin with is made for wide ones; of 32 dimensions little signal would come through.
    private const double WeightScale = 2;

    /// <param name="c">World and loss.</param>
    /// <param name="backend">Where the transformer runs.</param>
    /// <param name="advance">Told the steps made.</param>
    public static IEnumerable<Claim> Check(TheoryCase c, IBackend backend, Action<int> advance)
    {
        var (first, last) = Train(c, backend, advance);
        yield return new(Distribution, "chain rule", last.Max(static p => Math.Abs(p.Sum(Math.Exp) - 1)), 1e-4);
        yield return new(Residual, "eq. 7, 4", c.Worst(x => Left(x, p => LogProbs.Kl(p, x.Optimal))), 0.5);
        yield return new(Loss, "eq. 7", c.Worst(x =>
        {
            var expected = c.Expected(x, Draw(x));
            return Left(x, p => expected.Value(p) - expected.Value(x.Optimal));
        }), 0.1);

        double Left(TheoryPrompt x, Func<double[], double> measure) =>
            measure(LogProbs.Normalise(last[x.Index])) / measure(LogProbs.Normalise(first[x.Index]));
    }

    // Answers in proportion to the square root of their probability: every one is seen, and the likely ones, which the KL counts, more often.
    private static PairDraw Draw(TheoryPrompt x) => new(Array.ConvertAll(x.Reference, static q => Math.Exp(q / 2)));

    // The engine runs all sequences; the loss's exact derivatives by their log-probs go back into it as the cotangent.
    private static (double[][] First, double[][] Last) Train(TheoryCase c, IBackend backend, Action<int> advance)
    {
        var (vocabulary, length) = (c.World.Options.Vocabulary, c.World.Options.Length);
        var model = new Transformer(
            ModelConfig.Llama(vocabulary, hidden: 32, layers: 2, heads: 2, intermediate: 64, positions: length + 1) with { RopeTheta = 100, TieEmbeddings = false },
            backend);
        model.Initialise(c.World.Options.Seed);
        foreach (var (_, matrix) in model.Parameters().Where(static p => p.Value.Shape.Rank == 2))
        {
            backend.Upload(Array.ConvertAll(matrix.ToArray(), static w => (Real)(WeightScale * w)), matrix.Data);
        }
        var optimiser = new AdamW(model.Weights, beta2: 0.99, weightDecay: 0);
        var schedule = new LearningRateSchedule(ScheduleKind.Cosine, LearningRate, Steps / 20, Steps);
        var expected = c.World.Prompts.Select(x => c.Expected(x, Draw(x))).ToArray();
        double[][] first = [];
        try
        {
            for (var step = 0; ; step++)
            {
                c.Cancellation.ThrowIfCancellationRequested();
                using var scope = new StepScope(backend, gradients: step < Steps);
                var sums = model.SequenceLogProbs(PackedBatch.Pack(backend, [.. c.World.Prompts.Select(x => new PromptGroup(x.Tokens, c.World.Sequences))]));
                var policies = Split(sums.ToArray(), expected.Length);
                first = step == 0 ? policies : first;
                if (step == Steps)
                {
                    return (first, policies);
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
            model.Free();
        }
    }

    // A packed batch holds the first sequence of every prompt, then the second of every prompt.
    private static double[][] Split(Real[] sums, int prompts) =>
        [.. Enumerable.Range(0, prompts).Select(x => (double[])[.. sums.Where((_, i) => i % prompts == x).Select(static s => (double)s)])];

    private static Real[] Join(double[][] gradients) =>
        [.. Enumerable.Range(0, gradients[0].Length).SelectMany(i => gradients.Select(g => (Real)g[i]))];
}
