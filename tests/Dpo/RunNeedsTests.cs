using System.Text.Json;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>A dry run says beforehand what the pool of a real one comes to hold.</summary>
public class RunNeedsTests
{
    private static readonly ByteLevelTokenizer s_tokenizer = BytePairTrainer.Train("the food was good and the film was bad", 270, ["<|endoftext|>"]);

    private TemporaryFolder _folder = null!;

    [OneTimeSetUp]
    public void Open()
    {
        _folder = new TemporaryFolder();
        using var backend = new CpuBackend(1);
        // Wide and short: what is computed from tokens and what is stored as weights are of one size.
        var config = TinyModels.Config(vocabulary: s_tokenizer.VocabSize, hidden: 48);
        ModelFile.Save(_folder.File("model"), TinyModels.Create(backend, config), s_tokenizer);
        ModelFile.Save(_folder.File("other"), TinyModels.Create(backend, config, seed: 2), s_tokenizer);
        var wide = TinyModels.Config(vocabulary: s_tokenizer.VocabSize, hidden: 320) with { Heads = 8, HeadSize = 40 };
        ModelFile.Save(_folder.File("wide"), TinyModels.Create(backend, wide), s_tokenizer);
        File.WriteAllLines(_folder.File("pairs.jsonl"), Enumerable.Range(0, 40).Select(static i => JsonSerializer.Serialize(
            new { prompt = $"film {i}", chosen = " was good" + new string('!', i % 13), rejected = " was bad" + new string('?', i % 17) })));
        File.WriteAllLines(_folder.File("texts.jsonl"), Enumerable.Range(0, 40).Select(static i => JsonSerializer.Serialize(
            new { prompt = $"film {i}", completion = " was number " + new string('!', i % 19) })));
    }

    [OneTimeTearDown]
    public void Close() => _folder.Dispose();

    private static readonly TrainingOptions s_training = new() { BatchSize = 16, Epochs = 2, CheckpointEvery = 3 };

    public static (string Name, Func<TrainingOptions, TrainingOptions> Change)[] Variants { get; } =
    [
        ("plain", static t => t),
        ("checkpointed", static t => t with { GradientCheckpointing = true }),
        ("adapters", static t => t with { Lora = new LoraOptions { Rank = 2, Alpha = 4 } }),
        ("sgd", static t => t with { Optimiser = OptimiserKind.Sgd }),
    ];

    [Test]
    public void ThePoolOfADpoRunIsForetold([Range(0, 3)] int variant, [Values(200, 4096)] int budget, [Values("", "reference", "sync", "held-out")] string more)
    {
        var (name, change) = Variants[variant];
        if (more == "sync" && name == "adapters")
        {
            Assert.Ignore("adapters and a moving reference do not go together");
        }
        AssertForetold(name, (backend, folder, dry) => DpoRun.Run(
            new DpoRunOptions
            {
                Model = _folder.File("model"),
                Reference = more == "reference" ? _folder.File("other") : null,
                Sync = more == "sync" ? new ReferenceSync(0.5, 2) : null,
                EvalData = more == "held-out" ? _folder.File("pairs.jsonl") : null,
                Data = _folder.File("pairs.jsonl"),
                Out = folder,
                Training = change(s_training),
                TokenBudget = budget,
                DryRun = dry,
            },
            backend, IRunLog.Silent, default));
    }

    /// <summary>Adapters on weights that are more than all else, which are kept packed while the report's examples are sampled.</summary>
    [Test]
    public void ThePoolOfARunThatWeightsFillIsForetold() =>
        AssertForetold("wide", (backend, folder, dry) => DpoRun.Run(
            new DpoRunOptions
            {
                Model = _folder.File("wide"),
                Data = _folder.File("pairs.jsonl"),
                Out = folder,
                Training = s_training with { BatchSize = 1, MaxSteps = 2, Lora = new LoraOptions { Rank = 2, Alpha = 4 } },
                TokenBudget = 40,
                DryRun = dry,
            },
            backend, IRunLog.Silent, default));

    [Test]
    public void ThePoolOfAnSftRunIsForetold([Range(0, 3)] int variant, [Values(200, 4096)] int budget) =>
        AssertForetold(Variants[variant].Name, (backend, folder, dry) => SftRun.Run(
            new SftRunOptions
            {
                Model = _folder.File("model"),
                Data = _folder.File("texts.jsonl"),
                Out = folder,
                Training = Variants[variant].Change(s_training),
                TokenBudget = budget,
                DryRun = dry,
            },
            backend, IRunLog.Silent, default));

    [Test]
    public void ThePoolOfARewardModelsRunIsForetold() =>
        AssertForetold("plain", (backend, folder, dry) => RewardModelRun.Run(
            new RewardModelRunOptions { Model = _folder.File("model"), Data = _folder.File("pairs.jsonl"), Out = folder, Training = s_training, DryRun = dry },
            backend, IRunLog.Silent, default));

    [Test]
    public void TheOperationsAreThoseOfTheStep()
    {
        using var backend = new CpuBackend(1);
        var pairs = PreferenceData.Read(_folder.File("pairs.jsonl"), s_tokenizer).Pairs;
        var needs = Dpo(s_training with { Epochs = 3 });
        Assert.That((needs.Examples, needs.Epochs, needs.Steps), Is.EqualTo((40, 3, 9)));
        Assert.That(needs.LargestMicroBatch, Is.GreaterThan(200).And.LessThan(16 * 40));
        // What is needed, and the little that elementwise kernels and the optimiser add on so small a model.
        var needed = StepFlops.Needed(ModelConfig.FromJson(_folder.File("model/config.json")), pairs) / 3.0;
        Assert.That(needs.FlopsPerStep, Is.InRange(needed, 1.3 * needed));
        var again = Dpo(s_training with { GradientCheckpointing = true });
        Assert.That(again.FlopsPerStep, Is.InRange(1.1 * needs.FlopsPerStep, 1.4 * needs.FlopsPerStep), "the layers' forward pass once more");
        Assert.That(again.Activations, Is.LessThan(needs.Activations));
        var adapters = Dpo(s_training with { Lora = new LoraOptions { Rank = 2, Alpha = 4 } });
        Assert.That(adapters.Gradients + adapters.OptimiserState, Is.LessThan((needs.Gradients + needs.OptimiserState) / 4));
        Assert.That(needs.Gradients, Is.EqualTo(needs.OptimiserState / 2), "AdamW has two numbers a parameter");
        Assert.That(needs.Remedies(s_training, 4096, adapters: true), Has.Count.EqualTo(4).And.One.StartsWith("--gradient-checkpointing").And.One.StartsWith("--lora-rank"));

        RunNeeds Dpo(TrainingOptions training) => RunNeeds.Of(
            dry => DpoRun.Run(
                new DpoRunOptions { Model = _folder.File("model"), Data = _folder.File("pairs.jsonl"), Out = _folder.File("never"), Training = training, DryRun = true },
                dry, IRunLog.Silent, default),
            threads: 1);
    }

    private void AssertForetold(string name, Func<IBackend, string, bool, TrainingResult> run)
    {
        var never = _folder.File("dry");
        var needs = RunNeeds.Of(dry => run(dry, never, true), threads: 2);
        Assert.That(Directory.Exists(never), Is.False, "a dry run writes nothing");
        using var backend = new CpuBackend(2);
        using var real = new TemporaryFolder();
        run(backend, real.File("run"), false);
        TestContext.Out.WriteLine($"{name}: foretold {needs.Pool}, held {backend.Memory.Bytes}; {needs}");
        Assert.That(needs.Pool, Is.EqualTo(backend.Memory.Bytes).Within(10).Percent);
        Assert.That(new[] { needs.Parameters, needs.Gradients, needs.Activations, needs.Scratch }, Has.All.GreaterThan(0));
        Assert.That(needs.Total, Is.EqualTo(needs.Parameters + needs.Gradients + needs.OptimiserState + needs.Reference + needs.Activations + needs.Scratch));
    }
}
