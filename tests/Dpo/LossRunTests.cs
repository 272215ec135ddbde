using System.Text.Json;
using TinyDpo.Cli;
using TinyDpo.Dpo;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>score and dpo with other losses than DPO's, from the command line.</summary>
internal sealed class LossRunTests
{
    private TemporaryFolder _folder = null!;
    private string _model = null!;
    private string _other = null!;
    private string _data = null!;

    [OneTimeSetUp]
    public void Save()
    {
        _folder = new TemporaryFolder();
        _model = TinyModelFolder.Save(_folder.File("model"));
        _other = TinyModelFolder.Save(_folder.File("other"), seed: 2);
        _data = _folder.File("pairs.jsonl");
        File.WriteAllLines(_data, Enumerable.Range(0, 10).Select(static i =>
            $$"""{"prompt": "the film was", "chosen": " good{{new string('!', i)}}", "rejected": " bad{{new string('?', 7 * i % 10)}}"}"""));
    }

    [OneTimeTearDown]
    public void Delete() => _folder.Dispose();

    /// <summary>The printed loss and derivatives follow from the printed log-probs.</summary>
    [Test]
    public void ScorePrintsTheLossThatWasNamed()
    {
        foreach (var score in Score("--loss", "ipo", "--reduction", "sum", "--beta", "0.5"))
        {
            var h = (score["chosen_reward"] - score["rejected_reward"]) / 0.5;
            Check(score, (h - 1) * (h - 1), 2 * (h - 1), -2 * (h - 1));
        }
        foreach (var score in Score("--loss", "sigmoid:0.5,unlikelihood:2", "--beta", "1", "--unlikelihood-alpha", "0.25"))
        {
            var weight = 1 / (1 + Math.Exp(score["margin"]));
            Check(
                score, (0.5 * Math.Log(1 + Math.Exp(-score["margin"]))) - (2 * score["chosen_logp"]) + (0.5 * score["rejected_logp"]),
                (-0.5 * weight) - 2, (0.5 * weight) + 0.5);
        }
        foreach (var score in Score("--loss", "hinge", "--reference-free", "--beta", "0.25"))
        {
            var margin = 0.25 * (score["chosen_logp"] - score["rejected_logp"]);
            Check(score, Math.Max(0, 1 - margin), margin < 1 ? -0.25 : 0, margin < 1 ? 0.25 : 0);
        }

        static void Check(Dictionary<string, double> score, double loss, double byChosen, double byRejected)
        {
            var tolerance = sizeof(Real) == 4 ? 2e-5 : 1e-9;
            Assert.That(score["loss"], Is.EqualTo(loss).Within(tolerance * Math.Max(1, Math.Abs(loss))));
            Assert.That(score["d_chosen"], Is.EqualTo(byChosen).Within(tolerance * Math.Max(1, Math.Abs(byChosen))));
            Assert.That(score["d_rejected"], Is.EqualTo(byRejected).Within(tolerance * Math.Max(1, Math.Abs(byRejected))));
        }
    }

    /// <summary>The file is one batch: AOT's losses have the mean of the sorted differences' losses.</summary>
    [Test]
    public void ScoreTakesTheFileAsOneBatch()
    {
        var scores = Score("--loss", "aot", "--beta", "1");
        var policy = scores.Select(static s => s["chosen_logp"] - s["rejected_logp"]).Order();
        var reference = scores.Select(static s => s["reference_chosen_logp"] - s["reference_rejected_logp"]).Order();
        var expected = policy.Zip(reference, static (p, r) => Math.Log(1 + Math.Exp(r - p))).Average();
        Assert.That(scores.Average(static s => s["loss"]), Is.EqualTo(expected).Within(1e-5));
        Assert.That(expected, Is.Not.EqualTo(scores.Average(static s => Math.Log(1 + Math.Exp(-s["margin"])))).Within(1e-4), "not the pairs' own");
    }

    [TestCase("ipo", "")]
    [TestCase("kto,apo_zero_unpaired:0.5", "")]
    [TestCase("aot_unpaired", "--ld-alpha 0.5")]
    [TestCase("sigmoid", "--rpo-alpha 0.5 --wpo")]
    [TestCase("orpo", "")]
    public void DpoTrainsFromTheValueAtTheReferenceAndLowersTheLoss(string loss, string more)
    {
        var folder = _folder.File($"run {loss} {more}");
        var lines = CommandLineRun.Of(
        [
            "dpo", "--model", _model, "--data", _data, "--eval-data", _data, "--out", folder, "--loss", loss, "--batch-size", "10", "--epochs", "8",
            "--learning-rate", "3e-3", "--token-budget", "60", "--schedule", "constant", .. more.Split(' ', StringSplitOptions.RemoveEmptyEntries),
        ]).Succeeded().Lines;
        var metrics = File.ReadAllLines(Path.Combine(folder, "metrics.jsonl")).Select(static l => JsonElement.Parse(l)).ToList();
        double[] trained = [.. metrics.Where(static m => m.TryGetProperty("loss", out _)).Select(static m => m.GetProperty("loss").GetDouble())];
        double[] heldOut = [.. metrics.Where(static m => m.TryGetProperty("eval_loss", out _)).Select(static m => m.GetProperty("eval_loss").GetDouble())];
        // One batch holds all pairs, and so does the evaluation: training begins where it was measured, in other micro-batches.
        Assert.That(trained[0], Is.EqualTo(heldOut[0]).Within(1e-5 * Math.Abs(heldOut[0])));
        Assert.That(trained[^1], Is.LessThan(trained[0]));
        Assert.That(JsonElement.Parse(lines.Single()).GetProperty("eval_loss").GetDouble(), Is.EqualTo(heldOut[1]).And.LessThan(heldOut[0]));
        if (loss == "ipo")
        {
            Assert.That(trained[0], Is.EqualTo(25).Within(25e-6), "1 / (4 beta^2)");
        }
    }

    /// <summary>A run that goes on has the reference of its start, mismatched completions and discounted tails too.</summary>
    [TestCase("kto", "")]
    [TestCase("sigmoid", "--ld-alpha 0.5")]
    public void AnotherLossIsAnotherRun(string loss, string more)
    {
        var folder = _folder.File($"stopped {loss}");
        string[] command = ["dpo", "--model", _model, "--data", _data, "--out", folder, "--batch-size", "5", "--epochs", "2", "--checkpoint-every", "1"];
        string[] named = [.. command, "--loss", loss, .. more.Split(' ', StringSplitOptions.RemoveEmptyEntries)];
        CommandLineRun.Of(named).Succeeded();
        var weights = File.ReadAllBytes(Path.Combine(folder, "model", "model.safetensors"));
        Directory.Delete(Path.Combine(folder, "model"), recursive: true);
        var options = File.ReadAllText(Path.Combine(folder, RunFolder.OptionsFile));
        CommandLineRun.Of([.. command, "--resume", "--loss", "hinge"]).AssertFails(CommandLine.Failure, "belongs to a run");
        Assert.That(File.ReadAllText(Path.Combine(folder, RunFolder.OptionsFile)), Is.EqualTo(options), "a refused run leaves them");
        CommandLineRun.Of([.. named, "--resume"]).Succeeded();
        Assert.That(File.ReadAllBytes(Path.Combine(folder, "model", "model.safetensors")), Is.EqualTo(weights));
    }

    private Dictionary<string, double>[] Score(params string[] options) =>
    [
        .. CommandLineRun.Of(["score", "--policy", _model, "--reference", _other, "--data", _data, .. options]).Succeeded().Lines
            .Select(static line => JsonSerializer.Deserialize<Dictionary<string, double>>(line)!),
    ];
}
