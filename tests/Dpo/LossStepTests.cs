using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

/// <summary>Losses on a model: what they ask for besides sums, and that micro-batches change nothing.</summary>
public class LossStepTests
{
    private static readonly LossCase[] s_losses =
    [
        .. new[] { "ipo", "aot", "aot_unpaired", "kto", "orpo", "cpo", "simpo", "sigmoid,sft:0.5", "kto,orpo:0.5" }.Select(static text => new LossCase(text, new())),
        new("ipo", Tail(0.5) with { Weighted = true }),
        new("aot", Tail(0.5)),
        new("aot_unpaired", Tail(0.5)),
        new("simpo", new() { Weighted = true }),
        new("sigmoid,sft:0.5", new() { Weighted = true }),
    ];

    private CpuBackend _backend = null!;

    [SetUp]
    public void Open() => _backend = PoisonedBackend.Create(2);

    [TearDown]
    public void Close() => _backend.Dispose();

    [Test]
    public void MicroBatchesAddUpToTheBatch([ValueSource(nameof(s_losses))] LossCase c)
    {
        var loss = c.Loss;
        var policy = TinyModels.Create(_backend);
        var pairs = TinyModels.Pairs(9);
        var reference = Reference(pairs, loss);
        var (whole, gradients) = Step(policy, pairs, reference, loss, 10_000);
        foreach (var budget in new[] { 1, 60 })
        {
            var (parts, own) = Step(policy, pairs, reference, loss, budget);
            foreach (var (name, gradient) in own)
            {
                Assert.That(TinyModels.RelativeDistance(gradient, gradients[name]), Is.LessThan(sizeof(Real) == 4 ? 4e-6 : 1e-10), name);
            }
            foreach (var ((name, value), (_, expected)) in parts.Metrics.Zip(whole.Metrics))
            {
                Assert.That(value, Is.EqualTo(expected).Within((sizeof(Real) == 4 ? 2e-6 : 1e-12) * Math.Max(1, Math.Abs(expected))), name);
            }
        }
    }

    /// <summary>From its own reference the first step's loss is the one that the loss states, whatever the micro-batches.</summary>
    [Test]
    public void TheFirstLossFromTheReferenceIsTheOneStated()
    {
        var policy = TinyModels.Create(_backend);
        var pairs = TinyModels.Pairs(9);
        foreach (var text in LossCatalog.Names)
        {
            var loss = LossCatalog.Create(text, new());
            var reference = ReferenceLogProbs.OfReference(policy.Clone(), pairs, loss, policy.Config.MaxPositions, 50);
            var result = new DpoTask(policy, pairs, reference, loss, 70).Accumulate([.. Enumerable.Range(0, 9)]);
            if (loss.AtReference is { } stated)
            {
                Assert.That(result.Loss, Is.EqualTo(stated).Within(1e-6 * Math.Max(1, stated)), text);
            }
            Assert.That(policy.Weights.GradientNorm(), Is.GreaterThan(0), text);
            policy.Weights.ClearGradients();
        }
    }

#if DOUBLE
    /// <summary>The derivative along the gradient itself, by central differences of the loss: it is the gradient's squared norm.</summary>
    [Test]
    public void TheGradientIsTheSlopeOfTheLoss([Values("ipo", "orpo", "cpo", "simpo", "alphapo", "aot_unpaired", "sigmoid,sft:0.5", "ld")] string text)
    {
        var loss = text == "ld" ? LossCatalog.Create("sigmoid", Tail(0.25)) : LossCatalog.Create(text, new());
        var policy = TinyModels.Create(_backend, seed: 3);
        var pairs = TinyModels.Pairs(4);
        var reference = Reference(pairs, loss);
        double Loss() => Step(policy, pairs, reference, loss, 10_000).Result.Loss;
        Loss();
        var squared = Math.Pow(policy.Weights.GradientNorm(), 2);
        var (direction, origin) = (new Real[policy.Weights.Gradients.Length], new Real[policy.Weights.Values.Length]);
        _backend.Download(policy.Weights.Gradients, direction);
        _backend.Download(policy.Weights.Values, origin);
        double At(double step)
        {
            _backend.Upload([.. origin.Zip(direction, (w, d) => w + (step * d))], policy.Weights.Values);
            return Loss();
        }
        var h = 1e-4 / Math.Sqrt(squared);
        var slope = ((8 * (At(h) - At(-h))) - (At(2 * h) - At(-2 * h))) / (12 * h);
        Assert.That(slope, Is.EqualTo(squared).Within(1e-7 * squared));
    }
#endif

    /// <summary>log pi(prompt), as the log-prob of its tokens after the first one as a completion of that one.</summary>
    [Test]
    public void PromptsHaveTheLogProbsOfCompletions()
    {
        var model = TinyModels.Create(_backend);
        PreferencePair[] pairs = [.. TinyModels.Pairs(7), new(8, [5], [6, 7], [8])];
        var actual = ReferenceLogProbs.Compute(model, pairs, inputs: LossInputs.Prompts);
        var plain = ReferenceLogProbs.Compute(model, pairs);
        Assert.That((actual.Chosen, actual.Rejected), Is.EqualTo((plain.Chosen, plain.Rejected)), "the same bits");
        for (var i = 0; i < pairs.Length; i++)
        {
            var prompt = pairs[i].Prompt;
            var expected = prompt.Length == 1 ? 0 : ReferenceLogProbs.Compute(model, [new(1, prompt[..1], prompt[1..], [1])]).Chosen[0];
            Assert.That(actual.Prompts![i], Is.EqualTo(expected), $"prompt {i}: the same bits");
        }
    }

    /// <summary>WPO's weight from whole rows of probabilities.</summary>
    [Test]
    public void ConfidenceIsTheLogProbLessTheSampledOne()
    {
        var model = TinyModels.Create(_backend);
        var pairs = TinyModels.Pairs(5);
        var actual = ReferenceLogProbs.Compute(model, pairs, tokenBudget: 60, inputs: LossInputs.Confidence).Confidence!.Value;
        using var step = new StepScope(_backend, gradients: false);
        foreach (var (i, pair) in pairs.Index())
        {
            Check(pair.Prompt, pair.Chosen, actual.Chosen[i]);
            Check(pair.Prompt, pair.Rejected, actual.Rejected[i]);
        }

        void Check(int[] prompt, int[] completion, Real actual)
        {
            var packed = PackedBatch.Pack(_backend, [new PromptGroup(prompt, [completion])]);
            var logits = model.Logits(model.Hidden(packed), packed.Rows).ToArray().Chunk(model.Config.VocabSize).ToArray();
            var expected = completion.Select((token, t) =>
            {
                var largest = logits[t].Max();
                var weights = Array.ConvertAll(logits[t], z => Math.Exp((double)z - largest));
                var p = Array.ConvertAll(weights, w => w / weights.Sum());
                return Math.Log(p[token]) - Math.Log(p.Sum(static x => x * x));
            }).Average();
            Assert.That((double)actual, Is.EqualTo(expected).Within(sizeof(Real) == 4 ? 1e-5 : 1e-12));
        }
    }

    /// <summary>LD-DPO: up to the shorter length a token counts whole, beyond it by the weight; 1 is DPO and 0 forgets the tail.</summary>
    [Test]
    public void TailsCountByTheirWeight()
    {
        var model = TinyModels.Create(_backend);
        PreferencePair[] pairs = [new(1, [1, 2], [3, 4, 5, 6, 7], [8, 9]), new(2, [4], [5], [6, 7, 8])];
        PreferencePair[] cut = [new(1, [1, 2], [3, 4], [8, 9]), new(2, [4], [5], [6])];
        var (whole, none, half) = (At(pairs, 1), At(pairs, 0), At(pairs, 0.25));
        var shared = At(cut, 1);
        for (var i = 0; i < pairs.Length; i++)
        {
            AssertBlend(half.Chosen[i], shared.Chosen[i], whole.Chosen[i]);
            AssertBlend(half.Rejected[i], shared.Rejected[i], whole.Rejected[i]);
            Assert.That(none.Chosen[i], Is.EqualTo(shared.Chosen[i]));
            Assert.That(none.Rejected[i], Is.EqualTo(shared.Rejected[i]));
        }

        ReferenceLogProbs At(PreferencePair[] pairs, double weight) => ReferenceLogProbs.Compute(model, pairs, tailWeight: weight);

        static void AssertBlend(Real actual, Real head, Real all) =>
            Assert.That(actual, Is.EqualTo((0.75 * head) + (0.25 * all)).Within(sizeof(Real) == 4 ? 1e-5 : 1e-12));
    }

    [Test]
    public void MismatchedPairsTakeTheNextCompletionAndFitTheContext()
    {
        PreferencePair[] pairs = [new(1, [1, 1, 1], [2, 3], [4]), new(2, [5], [6, 7, 8, 9], [10, 11])];
        var mismatched = MismatchedPairs.Of(pairs, positions: 5);
        Assert.That(mismatched[0].Prompt, Is.EqualTo(pairs[0].Prompt));
        Assert.That(mismatched[0].Chosen, Is.EqualTo(new[] { 6, 7, 8 }), "3 and 3 tokens, whose last one takes no position");
        Assert.That(mismatched[0].Rejected, Is.EqualTo(pairs[1].Rejected));
        Assert.That((mismatched[1].Chosen, mismatched[1].Rejected), Is.EqualTo((pairs[0].Chosen, pairs[0].Rejected)));
    }

    private static LossSettings Tail(double weight) => new() { Numbers = new Dictionary<LossParameter, double> { [LossParameter.TailWeight] = weight } };

    private ReferenceLogProbs Reference(PreferencePair[] pairs, IPreferenceLoss loss)
    {
        var reference = TinyModels.Create(_backend, seed: 2);
        return ReferenceLogProbs.OfReference(reference, pairs, loss, reference.Config.MaxPositions);
    }

    private static (BatchResult Result, Dictionary<string, Real[]> Gradients) Step(
        Transformer policy, PreferencePair[] pairs, ReferenceLogProbs reference, IPreferenceLoss loss, int budget)
    {
        policy.Weights.ClearGradients();
        var result = new DpoTask(policy, pairs, reference, loss, budget).Accumulate([.. Enumerable.Range(0, pairs.Length).Reverse()]);
        policy.Weights.CompleteGradients();
        return (result, TinyModels.Gradients(policy));
    }
}
