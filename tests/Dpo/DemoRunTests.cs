using System.Text.Json;
using System.Text.Json.Nodes;
using System.Xml.Linq;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>The demonstration on a scale that takes a second.</summary>
internal sealed class DemoRunTests
{
    private TemporaryFolder _folder = null!;
    private CpuBackend _backend = null!;

    [SetUp]
    public void Open() => (_folder, _backend) = (new TemporaryFolder(), new CpuBackend(1));

    [TearDown]
    public void Close()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    [Test]
    public void ItsReportSaysWhatItWasAskedForAndDrawsTheKl()
    {
        DemoRun.Run(Tiny(_folder.File("demo")), _backend, IRunLog.Silent);
        var kl = RunMetrics.Read(_folder.File("demo"), "demo").Single(static s => s is { Stage: "dpo", Metric: "eval_kl" }).Points;
        Assert.That(kl[0], Is.EqualTo((0.0, 0.0)), "before the first step policy and reference are one");
        Assert.That(kl, Has.Count.GreaterThan(8));
        Assert.That(kl.Skip(1).Select(static p => p.Y), Has.All.GreaterThan(0));
        var page = XDocument.Load(_folder.File("demo/report.html"));
        Assert.That(page.Descendants("figcaption").Select(static c => c.Value), Has.Some.Contains("KL(policy || reference)"));
        var configuration = page.Descendants("section").Single(static s => (string?)s.Attribute("id") == "configuration");
        Assert.That(configuration.Element("p")!.Value, Does.Match(@"TinyDpo \d+\..*\.NET \d+"));
        var options = JsonElement.Parse(configuration.Elements("pre").First().Value);
        Assert.That(options.GetProperty("Command").GetString(), Is.EqualTo("demo"));
        Assert.That(options.GetProperty("Seed").GetInt32(), Is.EqualTo(7));
        Assert.That(options.GetProperty("World").GetString(), Is.EqualTo(World.Reviews.Name));
        Assert.That(options.GetProperty("Dpo").GetProperty("BatchSize").GetInt32(), Is.EqualTo(8));
    }

    /// <summary>As long as the real one: what a page holds of a run does not grow with its steps.</summary>
    [Test]
    public void ItsPageIsUnderTwoMegabytesAndChromiumDrawsIt()
    {
        var run = _folder.File("demo");
        DemoRun.Run(Tiny(run) with { HeldOut = 32 }, _backend, IRunLog.Silent);
        LengthenTo(5250, "sft", Path.Combine(run, MetricsFile.Name));
        LengthenTo(563, "dpo", Path.Combine(run, MetricsFile.Name));
        RunReport.Write([run], _folder.File("demo/report.html"), _backend);
        Assert.That(new FileInfo(_folder.File("demo/report.html")).Length, Is.InRange(100_000, 2_000_000));

        using var page = new ChromiumPage(_folder.File("demo/report.html"));
        Assert.That((int)page.Evaluate("document.querySelectorAll('figure').length")!, Is.GreaterThan(LossCatalog.Names.Count));
        Assert.That((bool)page.Evaluate("[...document.querySelectorAll('svg')].every(s => s.getBoundingClientRect().height > 50)")!, Is.True);
        Assert.That((bool)page.Evaluate("document.documentElement.scrollWidth <= innerWidth")!, Is.True, "nothing stands out to the right");
        const string mark = "[...document.querySelectorAll('figure')].find(f => f.textContent.includes('KL(policy')).querySelector('.mark:last-child')";
        const string tip = $"getComputedStyle({mark}.querySelector('.tip')).visibility";
        Assert.That((string?)page.Evaluate(tip), Is.EqualTo("hidden"));
        page.PointAt(mark + ".firstElementChild");
        Assert.That((string?)page.Evaluate(tip), Is.EqualTo("visible"));
        Assert.That(page.Complaints, Is.Empty);
    }

    /// <summary>A second run that is stopped leaves nothing of the first one's beside its own.</summary>
    [Test]
    public void AStoppedRunLeavesNothingOfTheOneBefore()
    {
        var options = Tiny(_folder.File("demo"));
        DemoRun.Run(options, _backend, IRunLog.Silent);
        File.WriteAllText(_folder.File("demo/notes.txt"), "mine");
        using var stop = new CancellationTokenSource();
        Assert.That(() => DemoRun.Run(options with { Seed = 8 }, _backend, new StoppingLog("DPO", stop), stop.Token), Throws.InstanceOf<OperationCanceledException>());
        Assert.That(
            Directory.EnumerateFileSystemEntries(_folder.File("demo")).Select(Path.GetFileName),
            Is.EquivalentTo(new[] { "options.json", "metrics.jsonl", "pairs.jsonl", "sft", "notes.txt" }));
        Assert.That(File.ReadAllText(_folder.File("demo/options.json")), Does.Contain("\"Seed\": 8"));
    }

    [TestCase("metrics.jsonl")]
    [TestCase("options.json")]
    [TestCase("model")]
    public void WhatAnotherCommandLeftStays(string name)
    {
        var left = _folder.File(Path.Combine("other", name));
        Directory.CreateDirectory(Path.GetDirectoryName(left)!);
        if (name == "model")
        {
            Directory.CreateDirectory(left);
        }
        else
        {
            File.WriteAllText(left, """{"Command": "dpo"}""");
        }
        Assert.That(
            () => DemoRun.Run(Tiny(_folder.File("other")), _backend, IRunLog.Silent),
            Throws.TypeOf<InputException>().With.Message.Contains(left).And.Message.Contains("another --out"));
        Assert.That(Directory.EnumerateFileSystemEntries(_folder.File("other")), Is.EqualTo(new[] { left }));
    }

    [Test]
    public void OptionsThatAreBrokenSayWhatToDo()
    {
        Directory.CreateDirectory(_folder.File("demo"));
        File.WriteAllText(_folder.File("demo/options.json"), """{"Command": """);
        Assert.That(
            () => DemoRun.Run(Tiny(_folder.File("demo")), _backend, IRunLog.Silent),
            Throws.TypeOf<InputException>().With.Message.Contains("options.json, line 1").And.Message.EndsWith("; give another --out, or delete it"));
        Assert.That(File.ReadAllText(_folder.File("demo/options.json")), Is.EqualTo("""{"Command": """));
    }

    // Repeats a stage's last step.
    private static void LengthenTo(int steps, string stage, string metrics)
    {
        var last = JsonNode.Parse(File.ReadLines(metrics).Last(line => line.Contains($"\"{stage}\"", StringComparison.Ordinal) && line.Contains("\"loss\"", StringComparison.Ordinal)))!;
        File.AppendAllLines(metrics, Enumerable.Range((int)last["step"]! + 1, steps).Select(step =>
        {
            last["step"] = step;
            return last.ToJsonString();
        }));
    }

    private static DemoOptions Tiny(string folder) => new()
    {
        Out = folder,
        Seed = 7,
        VocabSize = 400,
        HiddenSize = 16,
        Layers = 1,
        Heads = 2,
        IntermediateSize = 24,
        SftTexts = 64,
        Sft = new TrainingOptions { BatchSize = 16, LearningRate = 3e-3 },
        PairPrompts = 8,
        Dpo = new TrainingOptions { BatchSize = 8, LearningRate = 1e-3, Epochs = 2 },
        HeldOut = 8,
        MaxTokens = 12,
    };

    private sealed class StoppingLog(string stage, CancellationTokenSource source) : IRunLog
    {
        public void Stage(string name, int total)
        {
            if (name == stage)
            {
                source.Cancel();
            }
        }

        public void Advance(int done, string? detail = null)
        {
        }

        public void Note(string line)
        {
        }
    }
}
