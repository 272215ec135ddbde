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
}
