using System.Text.Json;

namespace TinyDpo.Tests;

/// <summary>The command on data that others made, as it is published.</summary>
[Category("Long")]
public class RealDataTests
{
    /// <summary>Many of its prompts are longer than the model's context: what was cut and left out is told by line, and the rest is trained on to the end.</summary>
    [Test]
    public void DpoRunsToTheEndOfDataThatIsTooLongForItsModel()
    {
        var (model, data) = (Repository.Shared("data/weights/stories260K-hf"), Repository.Shared("data/preference/dpo_en_demo.json"));
        using var folder = new TemporaryFolder();
        var run = folder.File("run");
        var result = JsonElement.Parse(CommandLineRun.Of("dpo", "--model", model, "--data", data, "--out", run, "--batch-size", "16").Succeeded().Lines.Single());
        int[] dropped = [.. result.GetProperty("dropped_lines").EnumerateArray().Select(static l => l.GetInt32())];
        int[] truncated = [.. result.GetProperty("truncated_lines").EnumerateArray().Select(static l => l.GetInt32())];
        var kept = Number("kept");
        Assert.Multiple(() =>
        {
            Assert.That(Number("read"), Is.EqualTo(300).And.EqualTo(kept + Number("dropped")));
            Assert.That(dropped, Has.Length.EqualTo(Number("dropped")).And.Not.Empty);
            Assert.That(truncated, Has.Length.EqualTo(Number("truncated")).And.Not.Empty);
            Assert.That(Number("longest"), Is.EqualTo(512), "the model's context");
            Assert.That(result.GetProperty("mean_prompt").GetDouble(), Is.InRange(1, 511));
            Assert.That(result.GetProperty("mean_completion").GetDouble(), Is.InRange(1, 511));
            Assert.That(File.ReadAllLines(Path.Combine(run, "metrics.jsonl")), Has.Length.EqualTo((kept + 15) / 16));
            Assert.That(File.Exists(Path.Combine(run, "model/model.safetensors")), Is.True);
        });
        var lines = File.ReadAllLines(data);
        Assert.That(dropped.Concat(truncated).Select(line => lines[line - 1].Trim()), Has.All.EqualTo("{"), "where rows begin");

        int Number(string name) => result.GetProperty(name).GetInt32();
    }
}
