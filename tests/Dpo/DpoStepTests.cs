using FsCheck;
using FsCheck.Fluent;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

/// <summary>What must hold of a DPO step whatever the model and however its pairs are packed.</summary>
public class DpoStepTests
{
    private const int Vocabulary = 29;

    [Test]
    public void EveryParameterGetsAFiniteGradientThatIsNotZero(
        [Values] bool tied, [Values(1, 2, 4)] int keyValueHeads, [Values] bool interleaved)
    {
        using var backend = PoisonedBackend.Create();
        var policy = TinyModels.Create(backend, TinyModels.Config(tied, keyValueHeads, interleaved));
        var pairs = TinyModels.Pairs(5);
        Accumulate(policy, pairs, Other(backend, policy.Config, pairs));
        foreach (var (name, gradient) in TinyModels.Gradients(policy))
        {
            Assert.That(gradient, Has.All.Matches<Real>(Real.IsFinite), name);
            // Norms are on every token's way; a row of the embedding only on its own token's.
            Assert.That(gradient, name.Contains("norm") ? Has.None.EqualTo((Real)0) : Has.Some.Not.EqualTo((Real)0), name);
        }
        Assert.That(policy.Parameters().Select(static p => p.Name).Contains("lm_head.weight"), Is.Not.EqualTo(tied));
    }

    /// <summary>Enough tokens and columns that every kernel divides its work.</summary>
    [Test]
    public void ThreadsChangeNoBitOfAStepOrARun()
    {
        var config = TinyModels.Config(vocabulary: 700, hidden: 96);
        var pairs = TinyModels.Pairs(24, 700, 24);
        (BatchResult Result, Real[][] Gradients, ReferenceLogProbs LogProbs, Real[] Trained, double[] Losses) Run(int threads)
        {
            using var backend = new CpuBackend(threads);
            var policy = TinyModels.Create(backend, config);
            var reference = Other(backend, config, pairs);
            var task = new DpoTask(policy, pairs, reference, new DpoLoss(), tokenBudget: 400);
            policy.Weights.ClearGradients();
            var result = task.Accumulate([.. Enumerable.Range(0, pairs.Length)]);
            Real[][] gradients = [.. TinyModels.Gradients(policy).Values];
            var losses = new List<double>();
            new TrainingRun(policy, task, new TrainingOptions { Epochs = 1, BatchSize = 5, Seed = 3 }).Run(r => losses.Add(r["loss"]));
            return (result, gradients, ReferenceLogProbs.Compute(policy, pairs), TinyModels.Weights(policy), [.. losses]);
        }
        var one = Run(1);
        Assert.That(one.Losses, Has.Length.EqualTo(5));
        foreach (var threads in new[] { 2, 3 })
        {
            var more = Run(threads);
            Assert.That(more.Result.Metrics, Is.EqualTo(one.Result.Metrics), $"metrics with {threads} threads");
            Assert.That(more.Gradients, Is.EqualTo(one.Gradients), $"gradients with {threads} threads");
            Assert.That(more.Losses, Is.EqualTo(one.Losses), $"losses with {threads} threads");
            Assert.That(more.Trained, Is.EqualTo(one.Trained), $"weights after 5 steps with {threads} threads");
            Assert.That(more.LogProbs.Chosen, Is.EqualTo(one.LogProbs.Chosen), $"log-probs with {threads} threads");
        }
    }

    /// <summary>Before any sequence has asked for positions.</summary>
    [Test]
    public void ABatchOfNoSequencesMayBeTheFirst()
    {
        using var backend = PoisonedBackend.Create(1);
        Assert.That(LogProbs(TinyModels.Create(backend), []), Is.Empty);
    }

    /// <summary>A sequence alone, in any batch, its prompt run for it or for several: the same bits.</summary>
    [Test]
    public void LogProbsDoNotDependOnTheBatch()
    {
        using var backend = PoisonedBackend.Create(2);
        var model = TinyModels.Create(backend, TinyModels.Config(vocabulary: 50));
        var cases =
            from groups in PackedBatchTests.Groups(50, 20, 8)
            from cut in Gen.Choose(0, 8)
            from shift in Gen.Choose(0, 8)
            select (groups, cut, shift);
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(40), Prop.ForAll(Arb.From(cases), c =>
        {
            var (groups, cut, shift) = c;
            var whole = LogProbs(model, groups);

            // Each completion with a prompt of its own, alone.
            foreach (var (group, own) in groups.Zip(whole))
            {
                foreach (var (completion, expected) in group.Completions.Zip(own))
                {
                    Assert.That(LogProbs(model, [new PromptGroup(group.Prompt, [completion])])[0][0], Is.EqualTo(expected));
                }
            }
            // In another order, cut into two batches.
            var order = Enumerable.Range(0, groups.Length).Select(i => (i + shift) % groups.Length).ToArray();
            PromptGroup[] turned = [.. order.Select(i => groups[i])];
            cut = Math.Min(cut, turned.Length);
            Real[][][] parts = [.. LogProbs(model, turned[..cut]), .. LogProbs(model, turned[cut..])];
            Assert.That(parts, Is.EqualTo(order.Select(i => whole[i])));
        }));
    }

    [Test]
    public void ACachedReferenceIsThePolicyToTheBitHoweverBothArePacked()
    {
        using var backend = PoisonedBackend.Create(2);
        var policy = TinyModels.Create(backend);
        var pairs = TinyModels.Pairs(17);
        foreach (var (referenceBudget, policyBudget) in new[] { (1, 10_000), (10_000, 1), (60, 90) })
        {
            var reference = ReferenceLogProbs.Compute(policy.Clone(), pairs, referenceBudget);
            var result = new DpoTask(policy, pairs, reference, new DpoLoss(0.5), policyBudget).Accumulate([4, 1, 16, 0, 2, 9]);
            Assert.That(result.Loss, Is.EqualTo(Math.Log(2)).Within(1e-6));
            Assert.That(result.Metrics.Where(static m => m.Name.StartsWith("rewards/", StringComparison.Ordinal)).Select(static m => m.Value), Is.All.Zero);
        }
    }

    [Test]
    public void ASharedPromptGivesTheLossAndGradientsOfTwoCopies()
    {
        using var backend = PoisonedBackend.Create(2);
        var model = TinyModels.Create(backend);
        var pairs = TinyModels.Pairs(6);
        var reference = Other(backend, model.Config, pairs);
        var (loss, gradients) = Step(PreferencePairs.Pack);
        var (naiveLoss, naive) = Step(static (backend, pairs) => PackedBatch.Pack(
            backend,
            [
                .. pairs.Select(static p => new PromptGroup(p.Prompt, [p.Chosen])),
                .. pairs.Select(static p => new PromptGroup(p.Prompt, [p.Rejected])),
            ]));
        Assert.That(loss, Is.EqualTo(naiveLoss), "the same bits");
        AssertSameGradients(gradients, naive, sizeof(Real) == 4 ? 2e-6 : 1e-10);

        (double Loss, Dictionary<string, Real[]> Gradients) Step(Func<IBackend, IReadOnlyList<PreferencePair>, PackedBatch> pack)
        {
            using var step = new StepScope(backend);
            model.Weights.ClearGradients();
            var loss = new DpoLoss().Mean(
                PairLogProbs.Of(model, pack(backend, pairs)), PairLogProbs.Of(backend, reference.Chosen, reference.Rejected));
            loss.Backward();
            return (loss.Item(), TinyModels.Gradients(model));
        }
    }

    [TestCase(1)]
    [TestCase(50)]
    [TestCase(120)]
    public void MicroBatchesAddUpToTheBatch(int tokenBudget)
    {
        using var backend = PoisonedBackend.Create(2);
        var policy = TinyModels.Create(backend, TinyModels.Config(tied: false));
        var pairs = TinyModels.Pairs(9);
        var reference = Other(backend, policy.Config, pairs);
        var whole = Accumulate(policy, pairs, reference);
        var gradients = TinyModels.Gradients(policy);
        var parts = Accumulate(policy, pairs, reference, tokenBudget);
        AssertSameGradients(TinyModels.Gradients(policy), gradients, sizeof(Real) == 4 ? 2e-6 : 1e-10);
        foreach (var ((name, value), (_, expected)) in parts.Metrics.Zip(whole.Metrics))
        {
            Assert.That(value, Is.EqualTo(expected).Within((sizeof(Real) == 4 ? 1e-6 : 1e-12) * Math.Max(1, Math.Abs(expected))), name);
        }
        Assert.That(parts.Tokens, Is.EqualTo(whole.Tokens));
    }

#if DOUBLE
    /// <summary>The derivative along the gradient itself, by central differences of the loss: it is the gradient's squared norm.</summary>
    [Test]
    public void TheGradientIsTheSlopeOfTheLoss([Values] bool tied, [Values] bool interleaved)
    {
        using var backend = PoisonedBackend.Create();
        var policy = TinyModels.Create(backend, TinyModels.Config(tied, interleaved: interleaved));
        var pairs = TinyModels.Pairs(4);
        var reference = Other(backend, policy.Config, pairs);
        Accumulate(policy, pairs, reference);
        var squared = Math.Pow(policy.Weights.GradientNorm(), 2);
        var direction = new Real[policy.Weights.Gradients.Length];
        backend.Download(policy.Weights.Gradients, direction);
        var start = new Real[direction.Length];
        backend.Download(policy.Weights.Values, start);
        double At(double h)
        {
            backend.Upload([.. start.Zip(direction, (w, d) => (Real)(w + (h * d)))], policy.Weights.Values);
            return Accumulate(policy, pairs, reference).Loss;
        }
        var h = 1e-4 / Math.Sqrt(squared);
        var slope = ((8 * (At(h) - At(-h))) - (At(2 * h) - At(-2 * h))) / (12 * h);
        Assert.That(slope, Is.EqualTo(squared).Within(1e-7 * squared));
    }
#endif

    [Test]
    public void EveryStepGivesItsMemoryBackAndThePoolStopsGrowing()
    {
        using var backend = PoisonedBackend.Create(2);
        var policy = TinyModels.Create(backend);
        var pairs = TinyModels.Pairs(8);
        var task = new DpoTask(policy, pairs, Other(backend, policy.Config, pairs), new DpoLoss(), tokenBudget: 80);
        _ = policy.Weights.Gradients; // whose memory is taken when they are first wanted, and stays
        policy.Reserve(policy.Config.MaxPositions);
        var before = backend.Memory.Outstanding;
        var (outstanding, bytes) = (new List<int>(), new List<long>());
        new TrainingRun(policy, task, new TrainingOptions { Epochs = 8, BatchSize = 8 }).Run(_ =>
        {
            outstanding.Add(backend.Memory.Outstanding);
            bytes.Add(backend.Memory.Bytes);
        });
        Assert.That(outstanding, Is.All.EqualTo(before + 2), "AdamW's two buffers");
        Assert.That(backend.Memory.Outstanding, Is.EqualTo(before), "and they go with the run");

        // Another order of the pairs may cut other micro-batches: the pool grows for the largest of each, then no more.
        foreach (var _ in bytes)
        {
            task.Accumulate([0, 1, 2, 3, 4, 5, 6, 7]);
        }
        var steady = backend.Memory.Bytes;
        task.Accumulate([0, 1, 2, 3, 4, 5, 6, 7]);
        Assert.That(backend.Memory.Bytes, Is.EqualTo(steady));
        Assert.That(bytes[^1], Is.LessThan(2 * bytes[0]));
    }

    private static ReferenceLogProbs Other(IBackend backend, ModelConfig config, PreferencePair[] pairs) =>
        ReferenceLogProbs.Compute(TinyModels.Create(backend, config, seed: 2), pairs);

    private static BatchResult Accumulate(Transformer policy, PreferencePair[] pairs, ReferenceLogProbs reference, int tokenBudget = 100_000)
    {
        policy.Weights.ClearGradients();
        return new DpoTask(policy, pairs, reference, new DpoLoss(), tokenBudget).Accumulate([.. Enumerable.Range(0, pairs.Length)]);
    }

    /// <summary>Token log-probs by group and completion.</summary>
    private static Real[][][] LogProbs(Transformer model, PromptGroup[] groups)
    {
        using var step = new StepScope(model.Backend, gradients: false);
        var all = model.TokenLogProbs(PackedBatch.Pack(model.Backend, groups)).ToArray();
        var result = groups.Select(static g => new Real[g.Completions.Count][]).ToArray();
        var at = 0;
        for (var rank = 0; groups.Length > 0 && rank < groups[0].Completions.Count; rank++)
        {
            for (var g = 0; g < groups.Length; g++)
            {
                var length = groups[g].Completions[rank].Length;
                result[g][rank] = all[at..(at += length)];
            }
        }
        return result;
    }

    private static void AssertSameGradients(Dictionary<string, Real[]> actual, Dictionary<string, Real[]> expected, double tolerance)
    {
        foreach (var (name, gradient) in expected)
        {
            Assert.That(TinyModels.RelativeDistance(actual[name], gradient), Is.LessThan(tolerance), name);
        }
    }
}
