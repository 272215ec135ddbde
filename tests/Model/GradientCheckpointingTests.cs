using System.Runtime.InteropServices;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

/// <summary>Layers computed again in backward: the same bits in less memory.</summary>
public class GradientCheckpointingTests
{
    private static readonly PreferencePair[] s_pairs = TinyModels.Pairs(7);

    private static IEnumerable<TestCaseData> Cases =>
        from architecture in TinyModels.Architectures()
        from adapters in new[] { "none", "first layer", "second layer", "all" }
        select new TestCaseData(architecture.Config, adapters).SetArgDisplayNames(architecture.Name, adapters);

    /// <summary>Two micro-batches, so that the second adds to the gradients of the first. The last layer of DPO's pass is cut to what predicts.</summary>
    [TestCaseSource(nameof(Cases))]
    public void LossAndGradientsHaveTheSameBits(ModelConfig config, string adapters)
    {
        Assert.That(Preference(true), Is.EqualTo(Preference(false)), "DPO");
        Assert.That(Whole(true), Is.EqualTo(Whole(false)), "SFT, whose last layer is whole");

        byte[] Preference(bool checkpointing)
        {
            using var backend = PoisonedBackend.Create(2);
            var model = Model(backend, checkpointing);
            var reference = ReferenceLogProbs.Compute(TinyModels.Create(backend, config, seed: 2), s_pairs);
            return Gradients(model, new DpoTask(model, s_pairs, reference, new DpoLoss(0.5), tokenBudget: 60));
        }

        byte[] Whole(bool checkpointing)
        {
            using var backend = PoisonedBackend.Create(2);
            var model = Model(backend, checkpointing);
            return Gradients(model, new SftTask(model, [.. s_pairs.Select(static p => new SftExample(p.Line, p.Prompt, p.Chosen))], tokenBudget: 60));
        }

        Transformer Model(IBackend backend, bool checkpointing)
        {
            var model = TinyModels.Create(backend, config);
            model.GradientCheckpointing = checkpointing;
            if (adapters != "none")
            {
                var map = config.Architecture == Models.Architecture.Gpt2 ? "attn.c_attn" : "self_attn.q_proj";
                string[] targets = adapters == "all" ? [] : [$"{(adapters == "first layer" ? 0 : 1)}.{map}"];
                Randomise(LoraAdapters.Attach(model, new LoraOptions { Rank = 3, Alpha = 6, Targets = targets }, seed: 1));
            }
            return model;
        }
    }

    [Test]
    public void ARunTrainsToTheSameBits()
    {
        Assert.That(Run(true), Is.EqualTo(Run(false)));

        static byte[] Run(bool checkpointing)
        {
            using var backend = new CpuBackend(1);
            var model = TinyModels.Create(backend);
            var task = new DpoTask(model, s_pairs, ReferenceLogProbs.Compute(model, s_pairs), new DpoLoss(0.5), tokenBudget: 60);
            new TrainingRun(model, task, new TrainingOptions { Epochs = 3, BatchSize = 4, GradientCheckpointing = checkpointing }).Run(null, DpoLoss.AtReference);
            return Bytes(TinyModels.Weights(model));
        }
    }

    [Test]
    public void OfEightLayersLessThanHalfTheMemoryIsLeft([Values("llama", "gpt2")] string architecture)
    {
        var config = TinyModels.Architectures().First(a => a.Name == architecture).Config with { Layers = 8 };
        var (with, without) = (StepBytes(true), StepBytes(false));
        Assert.That(with, Is.LessThan(without / 2), $"{with} bytes with, {without} without");

        // A fresh pool takes from the system what the step has in use at its peak.
        long StepBytes(bool checkpointing)
        {
            using var backend = new CpuBackend(1);
            var model = TinyModels.Create(backend, config);
            model.GradientCheckpointing = checkpointing;
            var pairs = TinyModels.Pairs(20);
            var task = new DpoTask(model, pairs, ReferenceLogProbs.Compute(model, pairs, tokenBudget: 1), new DpoLoss());
            var before = backend.Memory.Bytes;
            task.Accumulate([.. Enumerable.Range(0, pairs.Length)]);
            return backend.Memory.Bytes - before;
        }
    }

    [Test]
    public void NothingIsLeftOutAfterAStep()
    {
        using var backend = PoisonedBackend.Create();
        var model = TinyModels.Create(backend);
        model.GradientCheckpointing = true;
        LoraAdapters.Attach(model, new LoraOptions { Rank = 2, Alpha = 4 }, seed: 1);
        _ = model.Trained.Gradients; // as long as the model
        model.Reserve(model.Config.MaxPositions);
        var before = backend.Memory.Outstanding;
        using (var step = new StepScope(backend))
        {
            var loss = model.SequenceLogProbs(PreferencePairs.Pack(backend, s_pairs)).Sum();
            var forward = backend.Memory.Outstanding;
            loss.Backward();
            Assert.That(backend.Memory.Outstanding, Is.LessThan(forward), "backward gives back as it goes");
        }
        Assert.That(backend.Memory.Outstanding, Is.EqualTo(before));
    }

    private static byte[] Gradients(Transformer model, ITrainingTask task)
    {
        model.Trained.ClearGradients();
        var loss = task.Accumulate([.. Enumerable.Range(0, task.Examples)]).Loss;
        model.Trained.CompleteGradients();
        var gradients = model.Trained.Tensors.SelectMany(static p => p.Value.GradToArray()).ToArray();
        Assert.That(gradients, Has.Some.Not.EqualTo((Real)0));
        return [.. BitConverter.GetBytes(loss), .. Bytes(gradients)];
    }

    private static byte[] Bytes(Real[] values) => MemoryMarshal.AsBytes(values.AsSpan()).ToArray();

    private static void Randomise(LoraAdapters adapters)
    {
        foreach (var ((_, value), i) in adapters.Parameters.Tensors.Select(static (p, i) => (p, i)))
        {
            value.Backend.Upload([.. TinyModels.Random(5, i, value.Shape.Count).Select(static v => (Real)v)], value.Data);
        }
    }
}
