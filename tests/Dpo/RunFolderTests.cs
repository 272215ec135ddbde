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
}
