using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

public class TrainingRunTests
{
    private TemporaryFolder _folder = null!;
    private CpuBackend _backend = null!;
    private Transformer _model = null!;

    [SetUp]
    public void Open()
    {
        (_folder, _backend) = (new TemporaryFolder(), PoisonedBackend.Create());
        _model = TinyModels.Create(_backend);
    }

    [TearDown]
    public void Close()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    [Test]
    public void EachEpochRunsEveryExampleOnceInAnOrderOfItsOwn()
    {
        var task = new RecordingTask(_model, examples: 10);
        var reports = new List<StepReport>();
        var run = new TrainingRun(_model, task, new TrainingOptions { Epochs = 3, BatchSize = 4, Seed = 2 });
        run.Run(reports.Add);
        Assert.That((run.StepsPerEpoch, run.TotalSteps, run.Step), Is.EqualTo((3, 9, 9)));
        Assert.That(task.Batches.Select(static b => b.Length), Is.EqualTo(new[] { 4, 4, 2, 4, 4, 2, 4, 4, 2 }));
        var epochs = task.Batches.Chunk(3).Select(static e => e.SelectMany(static b => b).ToArray()).ToArray();
        foreach (var epoch in epochs)
        {
            Assert.That(epoch.Order(), Is.EqualTo(Enumerable.Range(0, 10)));
        }
        Assert.That(epochs.Select(static e => string.Join(' ', e)).Distinct().Count(), Is.EqualTo(3));
        Assert.That(reports.Select(static r => r.Step), Is.EqualTo(Enumerable.Range(0, 9)));
        Assert.That(reports[2].Epoch, Is.EqualTo(1));
        Assert.That(reports[^1].Epoch, Is.EqualTo(3));
    }

    [Test]
    public void TheUpdateIsTheClippedGradientTimesTheScheduledRate()
    {
        var options = new TrainingOptions
        {
            Epochs = 4,
            BatchSize = 10,
            Optimiser = OptimiserKind.Sgd,
            LearningRate = 0.1,
            WarmupSteps = 2,
            Schedule = ScheduleKind.Cosine,
            MaxGradNorm = 0.5,
        };
        var expected = TinyModels.Weights(_model).Select(static w => (double)w).ToArray();
        var task = new RecordingTask(_model, examples: 10);
        var reports = new List<StepReport>();
        new TrainingRun(_model, task, options).Run(reports.Add);
        Assert.That(reports.Select(static r => r["learning_rate"]), Is.EqualTo(new[] { 0, 0.05, 0.1, 0.05 }).Within(1e-15));
        foreach (var (report, gradient) in reports.Zip(task.Gradients))
        {
            var norm = Math.Sqrt(gradient.Sum(static g => (double)g * g));
            Assert.That(report["grad_norm"], Is.EqualTo(norm).Within(1e-6 * norm));
            Assert.That(norm, Is.GreaterThan(0.5), "clipping is at work");
            for (var i = 0; i < expected.Length; i++)
            {
                expected[i] -= report["learning_rate"] * 0.5 / (norm + 1e-6) * gradient[i];
            }
        }
        Assert.That(TinyModels.Weights(_model), Is.EqualTo(expected).Within(sizeof(Real) == 4 ? 1e-6 : 1e-12));
    }

    [Test]
    public void ALossThatIsNotANumberStopsTheRunBeforeAnythingIsWritten()
    {
        var checkpoints = new CheckpointFolder(_folder.Path, "key");
        var task = new RecordingTask(_model, examples: 8) { Spoil = static (step, loss) => step == 5 ? double.NaN : loss };
        Real[] last = [];
        var run = new TrainingRun(_model, task, new TrainingOptions { BatchSize = 1, CheckpointEvery = 2 }, checkpoints);
        var error = Assert.Throws<TrainingException>(() => run.Run(_ => last = TinyModels.Weights(_model)));
        Assert.That(error!.Message, Does.Contain("step 5").And.Contains("NaN").And.Contains("checkpoint-4"));
        Assert.That(TinyModels.Weights(_model), Is.EqualTo(last));
        Assert.That(run.Step, Is.EqualTo(5));
    }

    [Test]
    public void AGradientThatIsNotFiniteStopsTheRunAndIsNamed()
    {
        const string name = "model.layers.1.mlp.up_proj.weight";
        var task = new RecordingTask(_model, examples: 4)
        {
            AfterBackward = (model, step) =>
            {
                if (step == 1)
                {
                    var gradient = model.Weights[name].GradToArray();
                    gradient[7] = Real.PositiveInfinity;
                    _backend.Upload(gradient, model.Weights[name].Grad!);
                }
            },
        };
        Real[] last = [];
        var run = new TrainingRun(_model, task, new TrainingOptions { BatchSize = 1 });
        var error = Assert.Throws<TrainingException>(() => run.Run(_ => last = TinyModels.Weights(_model)));
        Assert.That(error!.Message, Does.Contain("step 1").And.Contains(name).And.Contains("no checkpoint"));
        Assert.That(TinyModels.Weights(_model), Is.EqualTo(last));
    }

    [Test]
    public void AFirstLossThatIsNotWhatItMustBeStopsTheRun()
    {
        var pairs = TinyModels.Pairs(4);
        var other = ReferenceLogProbs.Compute(TinyModels.Create(_backend, seed: 2), pairs);
        var before = TinyModels.Weights(_model);
        var wrong = new TrainingRun(_model, new DpoTask(_model, pairs, other, new DpoLoss()), new TrainingOptions());
        Assert.That(() => wrong.Run(firstLoss: DpoLoss.AtReference), Throws.InstanceOf<TrainingException>().With.Message.Contains("step 0"));
        Assert.That(TinyModels.Weights(_model), Is.EqualTo(before));

        var own = ReferenceLogProbs.Compute(_model, pairs);
        var right = new TrainingRun(_model, new DpoTask(_model, pairs, own, new DpoLoss(0.3, 0.1)), new TrainingOptions { BatchSize = 3 });
        right.Run(firstLoss: DpoLoss.AtReference);
        Assert.That(right.Step, Is.EqualTo(2), "later steps may have any loss");
    }

    [Test]
    public void OldCheckpointsArePrunedToTheNewestOnes()
    {
        var checkpoints = new CheckpointFolder(_folder.Path, "key");
        var run = new TrainingRun(
            _model, new RecordingTask(_model, examples: 12), new TrainingOptions { BatchSize = 1, CheckpointEvery = 1, KeepCheckpoints = 3 }, checkpoints);
        run.Run();
        // By number, not by name: 9 is older than 10. The last step's is the model itself.
        Assert.That(
            Directory.EnumerateDirectories(_folder.Path).Select(Path.GetFileName),
            Is.EquivalentTo(new[] { "checkpoint-9", "checkpoint-10", "checkpoint-11" }));
        Assert.That(checkpoints.Newest(), Is.EqualTo(_folder.File("checkpoint-11")));
    }

    [Test]
    public void ACheckpointHoldsWeightsAndStateAndRefusesAnotherRun([Values] OptimiserKind kind)
    {
        var options = new TrainingOptions { BatchSize = 1, Optimiser = kind, CheckpointEvery = 3, LearningRate = 0.01 };
        var (weights, states) = (new List<Real[]>(), new List<int>());
        var run = new TrainingRun(_model, new RecordingTask(_model, examples: 4), options, new CheckpointFolder(_folder.Path, "key"));
        run.Run(_ => weights.Add(TinyModels.Weights(_model)));

        var other = TinyModels.Create(_backend, seed: 9);
        var resumed = new TrainingRun(other, new RecordingTask(other, examples: 4), options, new CheckpointFolder(_folder.Path, "key"));
        Assert.That(resumed.TryResume(), Is.True);
        Assert.That(resumed.Step, Is.EqualTo(3));
        Assert.That(TinyModels.Weights(other), Is.EqualTo(weights[2]));
        resumed.Run();
        Assert.That(TinyModels.Weights(other), Is.EqualTo(weights[3]), "the last step, with the optimiser's state of the third");
        var stranger = new TrainingRun(other, new RecordingTask(other, examples: 4), options, new CheckpointFolder(_folder.Path, "another key"));
        Assert.That(stranger.TryResume, Throws.InstanceOf<InputException>().With.Message.Contains("belongs to a run with other data"));
        using var empty = new TemporaryFolder();
        Assert.That(new TrainingRun(other, new RecordingTask(other, 4), options, new CheckpointFolder(empty.Path, "key")).TryResume(), Is.False);
    }

    [Test]
    public void AHalfWrittenCheckpointIsNotTaken()
    {
        var checkpoints = new CheckpointFolder(_folder.Path, "key");
        Directory.CreateDirectory(_folder.File("checkpoint-7.partial"));
        Directory.CreateDirectory(_folder.File("checkpoint-x"));
        Assert.That(checkpoints.Newest(), Is.Null);
        var optimiser = new AdamW(_model.Weights) { Steps = 7 };
        Assert.That(checkpoints.Save(_model, optimiser), Is.EqualTo(_folder.File("checkpoint-7")));
        Assert.That(Directory.Exists(_folder.File("checkpoint-7.partial")), Is.False);
        File.Delete(_folder.File("checkpoint-7/optimizer.safetensors"));
        Assert.That(() => checkpoints.TryLoadNewest(_model, optimiser), Throws.InstanceOf<InputException>().With.Message.Contains("optimizer.safetensors"));
    }

    [TestCase("[]")]
    [TestCase("null")]
    [TestCase("{}")]
    [TestCase("""{"Step":7}""")]
    [TestCase("""{"Step":"7","Key":"key"}""")]
    [TestCase("""{"Step":7.5,"Key":"key"}""")]
    [TestCase("""{"Step":99999999999,"Key":"key"}""")]
    [TestCase("""{"Step":8,"Key":"key"}""")]
    [TestCase("""{"Step":7,"Key":["key"]}""")]
    [TestCase("torn")]
    public void AStateThatNobodyWroteIsRefused(string state)
    {
        var checkpoints = new CheckpointFolder(_folder.Path, "key");
        var optimiser = new AdamW(_model.Weights) { Steps = 7 };
        checkpoints.Save(_model, optimiser);
        Assert.That(checkpoints.TryLoadNewest(_model, optimiser), Is.True);
        File.WriteAllText(_folder.File("checkpoint-7/trainer_state.json"), state);
        Assert.That(() => checkpoints.TryLoadNewest(_model, optimiser), Throws.InstanceOf<InputException>().With.Message.Contains("trainer_state.json"));
    }

    [Test]
    public void WhatACrashLeftOfCheckpointsIsRemovedByTheNextSave()
    {
        Directory.CreateDirectory(_folder.File("checkpoint-3.partial"));
        File.WriteAllText(_folder.File("checkpoint-3.partial/model.safetensors"), "torn");
        Directory.CreateDirectory(_folder.File("checkpoint-7.partial"));
        File.WriteAllText(_folder.File("checkpoint-7.partial/rest"), "torn");
        new CheckpointFolder(_folder.Path, "key").Save(_model, new AdamW(_model.Weights) { Steps = 7 });
        Assert.That(Directory.EnumerateFileSystemEntries(_folder.Path).Select(Path.GetFileName), Is.EqualTo(new[] { "checkpoint-7" }));
        Assert.That(
            Directory.EnumerateFileSystemEntries(_folder.File("checkpoint-7")).Select(Path.GetFileName),
            Is.EquivalentTo(new[] { "model.safetensors", "optimizer.safetensors", "trainer_state.json" }));
    }

    [Test]
    public void ACheckpointWhoseNameIsTakenIsRefusedInOneLine()
    {
        File.WriteAllText(_folder.File("checkpoint-7"), "");
        Assert.That(
            () => new CheckpointFolder(_folder.Path, "key").Save(_model, new AdamW(_model.Weights) { Steps = 7 }),
            Throws.InstanceOf<InputException>().With.Message.Contains("checkpoint-7"));
    }

    [Test]
    public void AnInterruptedRunKeepsNoMoreCheckpointsThanAsked()
    {
        using var stop = new CancellationTokenSource();
        var options = new TrainingOptions { BatchSize = 1, CheckpointEvery = 2, KeepCheckpoints = 2 };
        var run = new TrainingRun(_model, new RecordingTask(_model, examples: 8), options, new CheckpointFolder(_folder.Path, "key"));
        Assert.That(
            () => run.Run(
                r =>
                {
                    if (r.Step == 4)
                    {
                        stop.Cancel();
                    }
                },
                cancellation: stop.Token),
            Throws.InstanceOf<OperationCanceledException>());
        Assert.That(
            Directory.EnumerateDirectories(_folder.Path).Select(Path.GetFileName), Is.EquivalentTo(new[] { "checkpoint-4", "checkpoint-5" }));
    }

    /// <summary>The counts of steps neither overflow nor go below what they count.</summary>
    [Test]
    public void StepsAreCountedWithoutOverflow()
    {
        static TrainingOptions Of(int epochs, int batch) => new() { Epochs = epochs, BatchSize = batch };
        Assert.That(Of(3, int.MaxValue).TotalSteps(10), Is.EqualTo(3));
        Assert.That(Of(1, 1).TotalSteps(int.MaxValue), Is.EqualTo(int.MaxValue));
        Assert.That(Of(int.MaxValue, 10).TotalSteps(10), Is.EqualTo(int.MaxValue));
        Assert.That(() => Of(int.MaxValue, 10).TotalSteps(11), Throws.InstanceOf<InputException>().With.Message.Contains("--epochs"));
        Assert.That(() => new TrainingRun(_model, new RecordingTask(_model, examples: 2), Of(int.MaxValue, 1)), Throws.InstanceOf<InputException>());
        var task = new RecordingTask(_model, examples: 3);
        new TrainingRun(_model, task, Of(2, int.MaxValue)).Run();
        Assert.That(task.Batches.Select(static b => b.Length), Is.EqualTo(new[] { 3, 3 }));
    }

    /// <summary>A run from files that meets a NaN writes no model, and leaves one that is there alone.</summary>
    [Test]
    public void ANanLeavesTheModelAndTheLastCheckpointAlone([Values] bool resumed)
    {
        var options = new TrainingOptions { BatchSize = 1, CheckpointEvery = 2, LearningRate = 0.01 };
        var metrics = _folder.File("metrics.jsonl");
        if (resumed)
        {
            Train(resume: false, nanAt: 3);
            Directory.CreateDirectory(_folder.File("model"));
            File.WriteAllText(_folder.File("model/config.json"), "before");
        }
        var (error, last) = Train(resumed, nanAt: resumed ? 3 : 5); // the task counts its own calls
        Assert.That(error.Message, Does.Contain("step 5").And.Contains("NaN").And.Contains("checkpoint-4"));
        Assert.That(TinyModels.Weights(_model), Is.EqualTo(last));
        Assert.That(File.ReadAllLines(metrics), Has.Length.EqualTo(5));
        Assert.That(
            Directory.EnumerateDirectories(_folder.Path).Select(Path.GetFileName), Does.Contain("checkpoint-4").And.Not.Contain("checkpoint-5"));
        Assert.That(Directory.Exists(_folder.File("model")), Is.EqualTo(resumed));
        if (resumed)
        {
            Assert.That(File.ReadAllText(_folder.File("model/config.json")), Is.EqualTo("before"));
            Assert.That(Directory.EnumerateFiles(_folder.File("model")).Count(), Is.EqualTo(1));
        }

        (TrainingException Error, Real[] LastWeights) Train(bool resume, int nanAt)
        {
            Real[] last = [];
            var task = new RecordingTask(_model, examples: 8)
            {
                Spoil = (step, loss) =>
                {
                    last = TinyModels.Weights(_model); // no step changes them before its loss is known
                    return step == nanAt ? double.NaN : loss;
                },
            };
            var error = Assert.Throws<TrainingException>(() => new RunFolder(_folder.Path, resume, "key").Train(
                _model, new ByteTokenizer(), task, options, null, IRunLog.Silent, default));
            return (error!, last);
        }
    }

    /// <summary>What no run wrote ends what is kept, as a torn line does.</summary>
    [TestCase("[1]")]
    [TestCase("null")]
    [TestCase("3")]
    [TestCase("{}")]
    [TestCase("""{"step":"1"}""")]
    [TestCase("""{"step":1.5}""")]
    [TestCase("""{"step":99999999999}""")]
    [TestCase("""{"step":1""")]
    [TestCase("")]
    public void MetricsAreKeptUpToALineThatIsNone(string line)
    {
        var path = _folder.File("metrics.jsonl");
        File.WriteAllLines(path, ["""{"step":0,"eval_loss":1}""", """{"step":0}""", line, """{"step":2}"""]);
        new MetricsFile(path, 5).Dispose();
        Assert.That(File.ReadAllLines(path), Is.EqualTo(new[] { """{"step":0,"eval_loss":1}""", """{"step":0}""" }));
    }

    [Test]
    public void MicroBatchesKeepTheOrderAndTheBudget()
    {
        int[] sizes = [3, 4, 10, 1, 1, 1, 8];
        var micro = MicroBatches.Split([6, 0, 1, 2, 3, 4, 5], i => sizes[i], 8).ToArray();
        Assert.That(micro, Is.EqualTo(new int[][] { [6], [0, 1], [2], [3, 4, 5] }));
        Assert.That(MicroBatches.Split([], static _ => 1, 8), Is.Empty);
    }

    /// <summary>SFT's loss is the mean over all completion tokens of the batch, however it is cut.</summary>
    [Test]
    public void SftLearnsTheMeanOverTokens()
    {
        SftExample[] examples = [.. TinyModels.Pairs(5).Select(static p => new SftExample(p.Line, p.Prompt, p.Chosen))];
        double sum = 0;
        foreach (var example in examples)
        {
            using var step = new StepScope(_backend, gradients: false);
            sum -= _model.TokenLogProbs(PackedBatch.Pack(_backend, [new PromptGroup(example.Prompt, [example.Completion])])).ToArray().Sum();
        }
        Dictionary<string, Real[]>? first = null;
        foreach (var budget in new[] { 1000, 1 })
        {
            _model.Weights.ClearGradients();
            var result = new SftTask(_model, examples, budget).Accumulate([0, 1, 2, 3, 4]);
            Assert.That(result.Loss, Is.EqualTo(sum / examples.Sum(static e => e.Completion.Length)).Within(1e-5));
            Assert.That(result.Tokens, Is.EqualTo(examples.Sum(static e => e.Prompt.Length + e.Completion.Length)));
            first ??= TinyModels.Gradients(_model);
        }
        foreach (var (name, gradient) in TinyModels.Gradients(_model))
        {
            Assert.That(TinyModels.RelativeDistance(gradient, first![name]), Is.LessThan(sizeof(Real) == 4 ? 2e-6 : 1e-10), name);
        }
    }

    /// <summary>SFT on random examples that notes what it was asked for, and can be spoilt.</summary>
    private sealed class RecordingTask(Transformer model, int examples) : ITrainingTask
    {
        private readonly SftTask _task = new(
            model, [.. TinyModels.Pairs(examples).Select(static p => new SftExample(p.Line, p.Prompt, p.Chosen))]);

        public List<int[]> Batches { get; } = [];

        public List<Real[]> Gradients { get; } = [];

        public Func<int, double, double> Spoil { get; init; } = static (_, loss) => loss;

        public Action<Transformer, int> AfterBackward { get; init; } = static (_, _) => { };

        public int Examples => examples;

        public BatchResult Accumulate(IReadOnlyList<int> batch)
        {
            var result = _task.Accumulate(batch);
            AfterBackward(model, Batches.Count);
            Gradients.Add([.. TinyModels.Gradients(model).Values.SelectMany(static g => g)]);
            var loss = Spoil(Batches.Count, result.Loss);
            Batches.Add([.. batch]);
            return result with { Metrics = [("loss", loss)] };
        }
    }
}
