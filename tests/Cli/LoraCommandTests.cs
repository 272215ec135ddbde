using System.Text.Json;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>Training adapters with the command, and what becomes of them.</summary>
[NonParallelizable]
public class LoraCommandTests
{
    private TemporaryFolder _folder = null!;

    [SetUp]
    public void Open()
    {
        _folder = new TemporaryFolder();
        TinyModelFolder.Save(_folder.File("base"));
        File.WriteAllLines(_folder.File("pairs.jsonl"), Enumerable.Range(0, 8).Select(static i => JsonSerializer.Serialize(
            new { prompt = "the film", chosen = " was good" + new string('.', i), rejected = " was bad" })));
    }

    [TearDown]
    public void Close() => _folder.Dispose();

    [Test]
    public void AdaptersAreSavedAloneScoredAndMerged()
    {
        Train("run", "--checkpoint-every", "2").Succeeded();
        Assert.That(
            Directory.EnumerateFiles(_folder.File("run/model")).Select(Path.GetFileName),
            Is.EquivalentTo(new[] { "adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "tokenizer_config.json" }));
        CommandLineRun.Of("merge", "--model", _folder.File("run/model"), "--out", _folder.File("merged")).Succeeded();
        Train("whole", "--lora-merge").Succeeded();
        var (apart, together) = (RunExamples.Read(_folder.File("run"))!, RunExamples.Read(_folder.File("whole"))!);
        Assert.That(
            apart.Pairs.SelectMany(static p => p.Chosen).Select(static t => t.Reference),
            Is.EqualTo(together.Pairs.SelectMany(static p => p.Chosen).Select(static t => t.Reference)), "the model with its adapters off, and the model read again");
        Assert.That(apart.Samples.Select(static s => s.Before), Is.EqualTo(together.Samples.Select(static s => s.Before)));
        Assert.That(apart.Pairs[0].Chosen[0].Policy, Is.Not.EqualTo(apart.Pairs[0].Chosen[0].Reference));
        // Files hold single precision: in the double build adapters that went through one are rounded before they are merged.
        var rounding = sizeof(Real) == sizeof(float) ? 0 : 4 * Math.Pow(2, -23); // of A, B and the sum, of weights up to 2
        Assert.That(Weights("whole/model"), Is.EqualTo(Weights("merged")).Within(rounding), "merged at once or later: the same bits");
        Assert.That(Weights("merged"), Is.Not.EqualTo(Weights("base")));
        var (adapters, merged) = (Margins("run/model"), Margins("merged"));
        Assert.That(adapters.Zip(merged, static (a, b) => Math.Abs(a - b)).Max(), Is.LessThan(1e-5));
        Assert.That(adapters, Has.All.GreaterThan(0));
        CommandLineRun.Of("dpo", "--model", _folder.File("run/model"), "--data", _folder.File("pairs.jsonl"), "--out", _folder.File("again"))
            .AssertFails(1, "holds adapters", "tinydpo merge");
    }

    [Test]
    public void MergingDeletesNothingOfAnyone()
    {
        var notes = _folder.File("out/notes.txt");
        Directory.CreateDirectory(_folder.File("out"));
        File.WriteAllText(notes, "mine");
        CommandLineRun.Of("merge", "--model", _folder.File("base"), "--out", _folder.File("out")).AssertFails(1, "out", "not empty", "choose another folder");
        Assert.That(File.ReadAllText(notes), Is.EqualTo("mine"));
    }

    [Test]
    public void AnOptionOfAdaptersThatAreNotTrainedIsRefused()
    {
        CommandLineRun.Of(
            "dpo", "--model", _folder.File("base"), "--data", _folder.File("pairs.jsonl"), "--out", _folder.File("out"), "--lora-alpha", "8")
            .AssertFails(2, "--lora-alpha has no effect without --lora-rank");
        Train("out", "--lora-targets", "q_proj,x_proj").AssertFails(1, "--lora-targets: 'x_proj' is no map of this model");
    }

    private CommandLineRun Train(string name, params string[] more) => CommandLineRun.Of(
    [
        "dpo", "--model", _folder.File("base"), "--data", _folder.File("pairs.jsonl"), "--out", _folder.File(name), "--epochs", "6",
        "--batch-size", "4", "--learning-rate", "0.05", "--lora-rank", "2", "--threads", "1", .. more,
    ]);

    private double[] Margins(string model)
    {
        var run = CommandLineRun.Of(
            "score", "--policy", _folder.File(model), "--reference", _folder.File("base"), "--data", _folder.File("pairs.jsonl")).Succeeded();
        return [.. run.Lines.Select(static line => JsonElement.Parse(line).GetProperty("margin").GetDouble())];
    }

    private Real[] Weights(string model)
    {
        using var backend = new CpuBackend(1);
        return TinyModels.Weights(ModelFile.LoadWeights(_folder.File(model), backend));
    }
}
