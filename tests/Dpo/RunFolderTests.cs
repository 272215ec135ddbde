using System.Text.Json;
using TinyDpo.Cli;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Tests;

public class RunFolderTests
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
            var error = Assert.Throws<TrainingException>(() => new RunFolder(_folder.Path, resume, "key", new { }).Train(
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

    /// <summary>Whatever befell metrics.jsonl, a resumed run has the lines that it had when the checkpoint was written.</summary>
    [TestCase(0, 0, TestName = "{m}: none")]
    [TestCase(1, 3, TestName = "{m}: some within")]
    [TestCase(0, 5, TestName = "{m}: all")]
    public void LinesThatWereDeletedComeBackFromTheCheckpoint(int from, int count)
    {
        var metrics = _folder.File("metrics.jsonl");
        var whole = Train(TinyModels.Create(_backend), stopAfter: 4);
        var lines = whole.Lines.ToList();
        lines.RemoveRange(from, count);
        File.WriteAllLines(metrics, [.. lines, """{"step":4,"loss":1}""", """{"st"""]);
        var (kept, notes) = Train(TinyModels.Create(_backend), stopAfter: null);
        Assert.That(kept.Take(whole.Lines.Length), Is.EqualTo(whole.Lines));
        Assert.That(kept.Select(static line => JsonElement.Parse(line).GetProperty("step").GetInt32()), Is.EqualTo(new[] { 0, 0, 1, 2, 3, 4, 5, 6, 7, 8 }));
        Assert.That(notes, Has.None.Contains("lacks"));
    }

    /// <summary>A checkpoint without them, of an earlier version or of too many steps.</summary>
    [Test]
    public void LinesThatAreLostAreNamed()
    {
        var (metrics, tail) = (_folder.File("metrics.jsonl"), _folder.File("checkpoint-4/metrics-tail.jsonl"));
        Train(TinyModels.Create(_backend), stopAfter: 4);
        File.Delete(tail);
        Checksums.Write(_folder.File("checkpoint-4"));
        File.WriteAllLines(metrics, File.ReadAllLines(metrics).Where(static (_, i) => i == 3));
        var (_, notes) = Train(TinyModels.Create(_backend), stopAfter: null);
        Assert.That(notes.Single(static n => n.Contains("lacks")), Does.Contain(metrics).And.Contain("steps 0-1, 3,"));
    }

    [Test]
    public void TheTailHoldsTheLinesOfTheLastSteps()
    {
        var path = _folder.File("metrics.jsonl");
        using (var file = new MetricsFile(path))
        {
            for (var step = 0; step < MetricsFile.TailSteps + 10; step++)
            {
                file.Write(step, [("a", 1)]);
                file.Write(step, [("b", 2)]);
            }
            Assert.That(file.Tail, Is.EqualTo(File.ReadAllLines(path)[20..]));
        }
        var lines = File.ReadAllLines(path);
        File.WriteAllLines(path, lines[..24]);
        using var resumed = new MetricsFile(path, MetricsFile.TailSteps + 10, lines[20..]);
        Assert.That((resumed.Kept, resumed.Missing), Is.EqualTo(((IReadOnlyList<string>)lines, (string?)null)));
        Assert.That(resumed.Tail, Is.EqualTo(lines[20..]));
    }

    // A run of 8 steps with a measurement before and after; stopped, it leaves its only checkpoint.
    private (string[] Lines, List<string> Notes) Train(Transformer model, int? stopAfter)
    {
        using var stop = new CancellationTokenSource();
        var log = new NotingLog();
        var task = new RecordingTask(model, examples: 8)
        {
            AfterBackward = (_, step) =>
            {
                if (step + 1 == stopAfter)
                {
                    stop.Cancel();
                }
            },
        };
        var run = new RunFolder(_folder.Path, resume: stopAfter is null, "key", new { });
        void Go() => run.Train(
            model, TokenizersSamples.Trained(), task, new TrainingOptions { BatchSize = 1, LearningRate = 0.01 }, null, log, stop.Token,
            evaluate: static () => [("eval_loss", 1)]);
        if (stopAfter is null)
        {
            Go();
        }
        else
        {
            Assert.That(Go, Throws.InstanceOf<OperationCanceledException>());
        }
        return (File.ReadAllLines(_folder.File("metrics.jsonl")), log.Notes);
    }

    /// <summary>How the model is saved changes no step: a run that failed at its saving goes on with another.</summary>
    [Test]
    public void ARunMayBeResumedToSaveItsModelOtherwise()
    {
        var options = new TrainingOptions { BatchSize = 3 };
        Assert.That((options with { SaveFormat = NumberFormat.F16, MergeAdapters = true, MaxShardBytes = 1 }).Key(), Is.EqualTo(options.Key()));
        Assert.That((options with { BatchSize = 4 }).Key(), Is.Not.EqualTo(options.Key()));
    }

    /// <summary>What to do next is what can be done: a run that has its model has nothing to resume.</summary>
    [TestCase(null, "interrupted before there was a checkpoint")]
    [TestCase("checkpoint-3", "--resume to go on from")]
    [TestCase("model", "model is whole; measure it with tinydpo eval")]
    public void AnInterruptedRunSaysHowToGoOn(string? left, string advice)
    {
        using var folder = new TemporaryFolder();
        if (left is not null)
        {
            Directory.CreateDirectory(folder.File(left));
        }
        Assert.That(() => Interruptible.Run<int>(folder.Path, static () => throw new OperationCanceledException()),
            Throws.InstanceOf<OperationCanceledException>().With.Message.Contains(advice));
    }
}
