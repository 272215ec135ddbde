using System.Text.Json;
using TinyDpo.Cli;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>Rows of one completion and a label: on a model, and from the command line.</summary>
internal sealed class UnpairedTests
{
    private static readonly double s_tolerance = sizeof(Real) == 4 ? 4e-6 : 1e-10;

    private TemporaryFolder _folder = null!;
    private CpuBackend _backend = null!;

    [SetUp]
    public void Open() => (_folder, _backend) = (new TemporaryFolder(), PoisonedBackend.Create(2));

    [TearDown]
    public void Close()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    /// <summary>A pair is the mean over its two completions: split into two rows, the batch has the same loss and gradient.</summary>
    [Test]
    public void APairAndItsTwoRowsHaveTheSameLossAndGradient([Values(1, 40, 10_000)] int budget)
    {
        var loss = new ApoZeroUnpairedLoss(0.5);
        var pairs = TinyModels.Pairs(5);
        var (expected, gradients) = Step(pairs, loss, 10_000);
        var (actual, own) = Step(Split(pairs), loss, budget);
        Assert.That(actual.Loss, Is.EqualTo(expected.Loss).Within(s_tolerance));
        foreach (var (name, gradient) in own)
        {
            Assert.That(TinyModels.RelativeDistance(gradient, gradients[name]), Is.LessThan(s_tolerance), name);
        }
        var (rows, both) = (actual.Metrics.ToDictionary(static m => m.Name, static m => m.Value), expected.Metrics.ToDictionary(static m => m.Name, static m => m.Value));
        foreach (var name in new[] { "rewards/chosen", "rewards/rejected", "rewards/margins", "logps/chosen", "logps/rejected" })
        {
            Assert.That(rows[name], Is.EqualTo(both[name]).Within(10 * s_tolerance * Math.Max(1, Math.Abs(both[name]))), name);
        }
        Assert.That(rows.Keys, Has.No.Member("rewards/accuracies").And.No.Member("weights/p50"), "nobody is compared with anybody");
    }

    [Test]
    public void MicroBatchesOfUnpairedRowsAddUpForKtoToo()
    {
        var rows = Split(TinyModels.Pairs(5))[1..]; // four desirable, five undesirable ones
        var (whole, gradients) = Step(rows, new KtoLoss(0.5, 2, 0.5), 10_000);
        var (parts, own) = Step(rows, new KtoLoss(0.5, 2, 0.5), 1);
        Assert.That(parts.Loss, Is.EqualTo(whole.Loss).Within(s_tolerance));
        foreach (var (name, gradient) in own)
        {
            Assert.That(TinyModels.RelativeDistance(gradient, gradients[name]), Is.LessThan(s_tolerance), name);
        }
    }

    /// <summary>z is a mean over the completions that are there: an absent one is not a log-ratio of 0.</summary>
    [Test]
    public void MismatchedCompletionsAreThoseOfTheNextRow()
    {
        PreferencePair[] rows = [new(1, [1], [2, 3], []), new(2, [4], [], [5, 6]), new(3, [7], [8], [])];
        var mismatched = MismatchedPairs.Of(rows, positions: 10);
        Assert.That(mismatched.Select(static m => (m.Chosen.Length, m.Rejected.Length)), Is.EqualTo(new[] { (0, 2), (1, 0), (2, 0) }));
        var own = new MismatchedPairs(mismatched, new ReferenceLogProbs([0, -3, -4], [-2, 0, 0]));
        Assert.That(own.Ratios(new MismatchedPairs(mismatched, new ReferenceLogProbs([0, -4, -4], [-5, 0, 0]))), Is.EquivalentTo(new[] { 3.0, 1, 0 }));
    }

    [Test]
    public void AnAbsentCompletionHasLogProbZeroAndLeavesTheOtherItsBits()
    {
        var model = TinyModels.Create(_backend);
        var pairs = TinyModels.Pairs(4);
        var (whole, rows) = (ReferenceLogProbs.Compute(model, pairs), ReferenceLogProbs.Compute(model, Split(pairs)));
        for (var i = 0; i < pairs.Length; i++)
        {
            Assert.That((rows.Chosen[2 * i], rows.Rejected[2 * i]), Is.EqualTo((whole.Chosen[i], (Real)0)));
            Assert.That((rows.Chosen[(2 * i) + 1], rows.Rejected[(2 * i) + 1]), Is.EqualTo(((Real)0, whole.Rejected[i])));
        }
    }

    [TestCase("kto", "--desirable-weight 2")]
    [TestCase("apo_zero_unpaired:0.5,kto", "")]
    public void ScoreAndDpoTakeUnpairedRows(string loss, string more)
    {
        var (model, other) = (TinyModelFolder.Save(_folder.File("model")), TinyModelFolder.Save(_folder.File("other"), seed: 2));
        var data = Rows(12);
        string[] chosen = ["--loss", loss, .. more.Split(' ', StringSplitOptions.RemoveEmptyEntries)];
        var scores = CommandLineRun.Of(["score", "--policy", model, "--reference", other, "--data", data, .. chosen]).Succeeded().Lines;
        foreach (var (line, i) in scores.Select(static (line, i) => (JsonElement.Parse(line), i)))
        {
            double Number(string name) => line.GetProperty(name).GetDouble();
            Assert.That(line.EnumerateObject().Select(static p => p.Name), Is.EqualTo(new[] { "label", "logp", "reference_logp", "reward", "loss", "d_logp" }));
            Assert.That(line.GetProperty("label").GetBoolean(), Is.EqualTo(i % 3 != 0));
            Assert.That(Number("reward"), Is.EqualTo(0.1 * (Number("logp") - Number("reference_logp"))).Within(1e-6));
            Assert.That(Number("d_logp"), i % 3 != 0 ? Is.LessThan(0) : Is.GreaterThan(0), "the desirable up, the others down");
        }

        string[] run =
        [
            "dpo", "--model", model, "--data", data, "--eval-data", data, "--out", _folder.File("run"), "--batch-size", "6", "--epochs", "4",
            "--learning-rate", "3e-3", "--schedule", "constant", "--checkpoint-every", "1", .. chosen,
        ];
        CommandLineRun.Of(run).Succeeded();
        var lines = File.ReadLines(_folder.File("run/metrics.jsonl")).Select(static l => JsonSerializer.Deserialize<Dictionary<string, double>>(l)!).ToList();
        Assert.That(lines[^1]["eval_loss"], Is.LessThan(lines[0]["eval_loss"]));
        Assert.That(lines[^1]["eval_rewards/margins"], Is.GreaterThan(0.001));
        var weights = File.ReadAllBytes(_folder.File("run/model/model.safetensors"));
        Directory.Delete(_folder.File("run/model"), recursive: true);
        CommandLineRun.Of([.. run, "--resume"]).Succeeded();
        Assert.That(File.ReadAllBytes(_folder.File("run/model/model.safetensors")), Is.EqualTo(weights), "the same bits, once resumed");
    }

    [Test]
    public void ALossOfPairsRefusesThem()
    {
        var model = TinyModelFolder.Save(_folder.File("model"));
        string[] models = ["--policy", model, "--reference", model, "--data", Rows(2)];
        foreach (var loss in new[] { "sigmoid", "bco_pair", "kto,sft", "apo_zero_unpaired --wpo", "apo_zero_unpaired --ld-alpha 0.5" })
        {
            CommandLineRun.Of(["score", .. models, "--loss", .. loss.Split(' ')]).AssertFails(CommandLine.Failure, "pairs.jsonl", "line 1", "unpaired");
            CommandLineRun.Of(["dpo", "--model", model, "--data", Rows(2), "--out", _folder.File("run"), "--loss", .. loss.Split(' ')])
                .AssertFails(CommandLine.Failure, "pairs.jsonl", "line 1", "unpaired");
        }
        CommandLineRun.Of(["explain", .. models, "--loss", "apo_zero_unpaired"]).AssertFails(CommandLine.Failure, "line 1", "unpaired");
    }

    [TestCase("""{"prompt": "a", "completion": "b", "label": 1}""", "'label' is a number, not true or false")]
    [TestCase("""{"prompt": "a", "completion": "b", "label": "true"}""", "'label' is a string")]
    [TestCase("""{"prompt": "a", "label": true}""", "has neither 'completion'")]
    [TestCase("""{"prompt": "a", "completion": "", "label": true}""", "empty completion")]
    public void ABadRowIsNamed(string row, string problem)
    {
        File.WriteAllText(_folder.File("rows.jsonl"), row);
        Assert.That(
            () => ReadData.Pairs(_folder.File("rows.jsonl"), new ByteTokenizer()),
            Throws.InstanceOf<InputException>().With.Message.Contains("line 1").And.Message.Contains(problem));
    }

    [Test]
    public void TextConversationsAndIdsAreRead()
    {
        File.WriteAllLines(_folder.File("rows.jsonl"),
        [
            """{"prompt": "ab", "completion": "c", "label": true}""",
            """{"prompt": [{"role": "user", "content": "x"}], "completion": [{"role": "assistant", "content": "y"}], "label": false}""",
            """{"prompt_ids": [1, 2], "completion_ids": [3], "label": false}""",
            """{"prompt": "ab", "chosen": "c", "rejected": "dd"}""",
        ]);
        var (rows, summary) = ReadData.Pairs(_folder.File("rows.jsonl"), new ByteTokenizer());
        Assert.That(rows.Select(static r => (r.Chosen.Length > 0, r.Rejected.Length > 0)), Is.EqualTo(new[] { (true, false), (false, true), (false, true), (true, true) }));
        Assert.That(rows[0].Chosen, Is.EqualTo(rows[3].Chosen));
        Assert.That((rows[2].Prompt, rows[2].Rejected), Is.EqualTo((new[] { 1, 2 }, new[] { 3 })));
        Assert.That((summary.Unpaired, summary.MeanChosen), Is.EqualTo((3, 2.0)));
        Assert.That(summary.Describe(), Does.Contain("3 of them unpaired"));
    }

    private static PreferencePair[] Split(PreferencePair[] pairs) => [.. pairs.SelectMany(static p => new[] { p with { Rejected = [] }, p with { Chosen = [] } })];

    private string Rows(int count)
    {
        File.WriteAllLines(_folder.File("pairs.jsonl"), Enumerable.Range(0, count).Select(static i => i % 3 == 0
            ? $$"""{"prompt": "the film was", "completion": " bad{{new string('?', i % 4)}}", "label": false}"""
            : $$"""{"prompt": "the film was", "completion": " good{{new string('!', i % 5)}}", "label": true}"""));
        return _folder.File("pairs.jsonl");
    }

    private (BatchResult Result, Dictionary<string, Real[]> Gradients) Step(PreferencePair[] rows, IPreferenceLoss loss, int budget)
    {
        var (policy, reference) = (TinyModels.Create(_backend), TinyModels.Create(_backend, seed: 2));
        var known = ReferenceLogProbs.OfReference(reference, rows, loss, reference.Config.MaxPositions);
        var result = new DpoTask(policy, rows, known, loss, budget).Accumulate([.. Enumerable.Range(0, rows.Length)]);
        policy.Weights.CompleteGradients();
        return (result, TinyModels.Gradients(policy));
    }
}
