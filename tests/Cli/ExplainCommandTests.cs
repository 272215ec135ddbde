using System.Text.Json;

namespace TinyDpo.Tests;

internal sealed class ExplainCommandTests
{
    private TemporaryFolder _folder = null!;
    private string[] _arguments = null!;

    [OneTimeSetUp]
    public void Save()
    {
        _folder = new TemporaryFolder();
        File.WriteAllLines(_folder.File("pairs.jsonl"), TinyModels.Pairs(2).Select(static p =>
            JsonSerializer.Serialize(new { prompt_ids = p.Prompt, chosen_ids = p.Chosen, rejected_ids = p.Rejected })));
        _arguments =
        [
            "explain", "--policy", TinyModelFolder.Save(_folder.File("policy")),
            "--reference", TinyModelFolder.Save(_folder.File("reference"), seed: 2), "--data", _folder.File("pairs.jsonl"), "--quiet",
        ];
    }

    [OneTimeTearDown]
    public void Free() => _folder?.Dispose();

    [Test]
    public void JsonIsAPairALineAndTheSummary()
    {
        var run = CommandLineRun.Of([.. _arguments, "--json"]).Succeeded();
        Assert.That(run.Lines, Has.Length.EqualTo(3));
        foreach (var (line, pair) in run.Lines.Zip(TinyModels.Pairs(2)))
        {
            var json = JsonElement.Parse(line);
            Assert.That(json.GetProperty("tokens").GetArrayLength(), Is.EqualTo(pair.Chosen.Length + pair.Rejected.Length));
            Assert.That(json.GetProperty("line").GetInt32(), Is.EqualTo(pair.Line));
        }
        Assert.That(JsonElement.Parse(run.Lines[2]).GetProperty("summary").GetProperty("pairs").GetInt32(), Is.EqualTo(2));
    }

    [Test]
    public void OtherwiseATableAndOfOnePairItsTokens()
    {
        var run = CommandLineRun.OfProcess([], [.. _arguments, "--pair", "2", "--optimizer", "adamw"]).Succeeded();
        Assert.That(run.Output, Does.Contain("cosine").And.Contain("rejected").And.Contain("share"));
        Assert.That(run.Lines[^1], Does.StartWith("1 pairs;"));
    }

    [Test]
    public void ALineWithoutAPairIsOneLineOfComplaint()
    {
        var run = CommandLineRun.Of([.. _arguments, "--pair", "3"]);
        Assert.That(run.ExitCode, Is.EqualTo(1));
        Assert.That(run.Error, Does.Contain("pairs.jsonl").And.Contain("line 3").And.Contain("--pair"));
    }

    [Test]
    public void ALossThatComparesPairsIsBadUsage() => Assert.That(CommandLineRun.Of([.. _arguments, "--loss", "kto"]).ExitCode, Is.EqualTo(2));
}
