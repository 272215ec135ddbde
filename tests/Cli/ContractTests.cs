using System.Text.Json;
using System.Xml.Linq;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>What programs that read our stdout rely on: keys, their values against outside data, and nothing but JSON lines.</summary>
internal sealed class ContractTests
{
    // Of a log-prob, and of a loss or of 1 where that is larger: a float log-prob of 50 nats has steps of 4e-6.
    private const double Tolerance = 1e-6;

    private static readonly string[] s_scoreKeys =
    [
        "chosen_logp", "rejected_logp", "reference_chosen_logp", "reference_rejected_logp", "chosen_reward", "rejected_reward", "margin", "loss",
        "d_chosen", "d_rejected",
    ];

    private TemporaryFolder _folder = null!;
    private string _model = null!;

    [OneTimeSetUp]
    public void SaveModel()
    {
        _folder = new TemporaryFolder();
        _model = TinyModelFolder.Save(_folder.File("a model"));
    }

    [OneTimeTearDown]
    public void Delete() => _folder.Dispose();

    [Test]
    public void GenerateGivesIdsAndText()
    {
        var run = CommandLineRun.Of("generate", "--model", _model, "--prompt", "the film", "--max-tokens", "7", "--json").Succeeded();
        var json = JsonElement.Parse(run.Lines.Single());
        Assert.That(Keys(json), Is.EqualTo(new[] { "prompt_ids", "ids", "text" }));
        var (prompt, ids) = (Ids(json.GetProperty("prompt_ids")), Ids(json.GetProperty("ids")));
        var tokenizer = TokenizerFile.Load(_model);
        Assert.Multiple(() =>
        {
            Assert.That(prompt, Is.EqualTo(tokenizer.Encode("the film")));
            Assert.That(ids, Has.Length.InRange(prompt.Length, prompt.Length + 7));
            Assert.That(ids[..prompt.Length], Is.EqualTo(prompt));
            Assert.That(json.GetProperty("text").GetString(), Is.EqualTo(tokenizer.Decode(ids)));
        });
        var plain = CommandLineRun.Of("generate", "--model", _model, "--prompt", "the film", "--max-tokens", "7").Succeeded();
        Assert.That(plain.Output, Is.EqualTo(json.GetProperty("text").GetString() + "\n"));
    }

    [Test]
    public void GenerateStopsAtTheContextHoweverManyTokensAreAskedFor()
    {
        var run = CommandLineRun.Of("generate", "--model", _model, "--prompt", "@the film", "--max-tokens", "100000", "--json").Succeeded();
        Assert.That(Ids(JsonElement.Parse(run.Output).GetProperty("ids")), Has.Length.LessThanOrEqualTo(TinyModelFolder.Context));
    }

    [Test]
    public void GenerateFromNothingBeginsAStory()
    {
        var oracle = JsonElement.Parse(File.ReadAllText(Repository.Shared("data/oracle/stories260K_greedy.json")));
        var run = CommandLineRun.Of(
            "generate", "--model", Repository.Shared("data/weights/stories260K.bin"), "--tokenizer", Repository.Shared("data/weights/tok512.bin"),
            "--prompt", "", "--temperature", "0", "--max-tokens", "20", "--json").Succeeded();
        var ids = Ids(JsonElement.Parse(run.Output).GetProperty("ids"));
        Assert.That(ids[0], Is.EqualTo(1));
        Assert.That(ids, Is.EqualTo(Sequences(oracle).First(s => s.Length > ids.Length && s[1] == 403)[..ids.Length]));

        // Every array of ids in the oracle, whatever it is called.
        static IEnumerable<int[]> Sequences(JsonElement value) => value.ValueKind switch
        {
            JsonValueKind.Object => value.EnumerateObject().SelectMany(static p => Sequences(p.Value)),
            JsonValueKind.Array when value.EnumerateArray().All(static v => v.ValueKind == JsonValueKind.Number) => [Ids(value)],
            JsonValueKind.Array => value.EnumerateArray().SelectMany(Sequences),
            _ => [],
        };
    }

    [Test]
    public void TokenizeGivesAnArrayALine()
    {
        var input = "\"the film\"\n\n\"\\u00e9\\n\"\r\n\"\"\n"u8;
        var run = CommandLineRun.OfProcess(input.ToArray(), "tokenize", "--model", _model).Succeeded();
        var tokenizer = TokenizerFile.Load(_model);
        Assert.That(
            run.Lines.Select(static line => Ids(JsonElement.Parse(line))),
            Is.EqualTo(new[] { tokenizer.Encode("the film"), tokenizer.Encode("é\n"), [] }));
    }

    [Test]
    public void ScoreAgreesWithTheOracleForIdsAndForText()
    {
        var oracle = JsonElement.Parse(File.ReadAllText(Repository.Shared("data/oracle/stories260K_dpo.json")));
        var pairs = oracle.GetProperty("pairs").EnumerateArray().ToList();
        var variant = oracle.GetProperty("variants").EnumerateArray().First();
        var beta = variant.GetProperty("beta").GetDouble();
        foreach (var keys in new[] { new[] { "prompt_ids", "chosen_ids", "rejected_ids" }, ["prompt", "chosen", "rejected"] })
        {
            var data = _folder.File("oracle.jsonl");
            File.WriteAllLines(data, pairs.Select(p => JsonSerializer.Serialize(keys.ToDictionary(static k => k, k => p.GetProperty(k)))));
            var run = CommandLineRun.Of(
                "score", "--policy", Repository.Shared("data/oracle/stories260K_perturbed.bin"),
                "--reference", Repository.Shared("data/weights/stories260K.bin"), "--tokenizer", Repository.Shared("data/weights/tok512.bin"),
                "--data", data, "--loss", "sigmoid", "--beta", FormattableString.Invariant($"{beta}"), "--json").Succeeded();
            Assert.That(run.Lines, Has.Length.EqualTo(pairs.Count));
            for (var i = 0; i < pairs.Count; i++)
            {
                Check(JsonElement.Parse(run.Lines[i]), i);
            }
        }

        void Check(JsonElement score, int i)
        {
            double Of(string key) => score.GetProperty(key).GetDouble();
            double LogProb(string model, string which) => oracle.GetProperty(model).GetProperty(which)[i].GetDouble();
            double Oracles(string key) => variant.GetProperty(key)[i].GetDouble();
            var margin = Of("chosen_reward") - Of("rejected_reward");
            Assert.Multiple(() =>
            {
                Assert.That(Keys(score), Is.EqualTo(s_scoreKeys));
                AssertClose(Of("chosen_logp"), LogProb("policy_logps", "chosen"), Math.Abs(LogProb("policy_logps", "chosen")));
                AssertClose(Of("rejected_logp"), LogProb("policy_logps", "rejected"), Math.Abs(LogProb("policy_logps", "rejected")));
                AssertClose(Of("reference_chosen_logp"), LogProb("reference_logps", "chosen"), Math.Abs(LogProb("reference_logps", "chosen")));
                AssertClose(Of("reference_rejected_logp"), LogProb("reference_logps", "rejected"), Math.Abs(LogProb("reference_logps", "rejected")));
                AssertClose(Of("chosen_reward"), Oracles("chosen_rewards"), beta * (Math.Abs(Of("chosen_logp")) + Math.Abs(Of("reference_chosen_logp"))));
                AssertClose(Of("rejected_reward"), Oracles("rejected_rewards"), beta * (Math.Abs(Of("rejected_logp")) + Math.Abs(Of("reference_rejected_logp"))));
                AssertClose(Of("loss"), Oracles("per_pair_loss"), Math.Max(1, Oracles("per_pair_loss")));
                Assert.That(Of("margin"), Is.EqualTo(margin).Within(1e-12));
                Assert.That(Of("d_chosen"), Is.EqualTo(-beta / (1 + Math.Exp(margin))).Within(1e-6));
                Assert.That(Of("d_rejected"), Is.EqualTo(beta / (1 + Math.Exp(margin))).Within(1e-6));
            });
        }
    }

    private static void AssertClose(double actual, double expected, double size) => Assert.That(actual, Is.EqualTo(expected).Within(Tolerance * size));

    /// <summary>A conversation is scored, and explained, as the text that the template asked for makes of it; ChatML's would not fit the context.</summary>
    [Test]
    public void ConversationsAreReadByTheTemplateAskedFor()
    {
        var (conversation, text) = (_folder.File("conversation.jsonl"), _folder.File("text.jsonl"));
        File.WriteAllText(conversation, """
            {"prompt": [{"role": "user", "content": "the film"}], "chosen": [{"role": "assistant", "content": "was good"}], "rejected": [{"role": "assistant", "content": "was bad"}]}
            """);
        File.WriteAllText(text, """{"prompt": "[INST] the film [/INST]", "chosen": " was good", "rejected": " was bad"}""");
        foreach (var command in new[] { "score", "explain" })
        {
            var expected = Run(command, text).Succeeded().Output;
            Assert.That(Run(command, conversation, "--chat-template", "mistral").Succeeded().Output, Is.EqualTo(expected));
            Run(command, conversation).AssertFails(TinyDpo.Cli.CommandLine.Failure, "conversation.jsonl", "line 1", "limit of 48");
        }

        CommandLineRun Run(string command, string data, params string[] more) =>
            CommandLineRun.Of([command, "--policy", _model, "--reference", _model, "--data", data, "--json", .. more]);
    }

    [Test]
    public void OracleWritesTheTensorsOfThePeer()
    {
        var (workload, expectedFile) = (Repository.Shared("workloads/oracle.json"), Repository.Shared("workloads/oracle.safetensors"));
        var output = _folder.File("oracle out/own.safetensors");
        var run = CommandLineRun.Of("oracle", workload, expectedFile, output).Succeeded();
        using var expected = SafetensorsFile.Open(expectedFile);
        using var own = SafetensorsFile.Open(output);
        Assert.That(
            own.Names, Is.EquivalentTo(expected.Names.Where(static n =>
                !n.StartsWith("policy.", StringComparison.Ordinal) && !n.StartsWith("reference.", StringComparison.Ordinal))));
        var loss = JsonElement.Parse(run.Lines.Single());
        Assert.That(Keys(loss), Is.EqualTo(new[] { "loss" }));
        var values = new Real[1];
        expected.Read("loss", [1], values);
        Assert.That(loss.GetProperty("loss").GetDouble(), Is.EqualTo((double)values[0]).Within(1e-6));
    }

    [Test]
    public void BenchSampleCountsTokens()
    {
        TinyModelFolder.Save(_folder.File("sampled"));
        var run = CommandLineRun.Of(
            "bench", "sample", "--model", _folder.File("sampled"), "--sequences", "3", "--max-tokens", "5", "--rounds", "1", "--threads", "1").Succeeded();
        var line = JsonElement.Parse(run.Lines.Single());
        Assert.That(Keys(line), Is.EqualTo(new[] { "sequences", "threads", "tokens_per_s" }));
        Assert.That(line.GetProperty("tokens_per_s").GetDouble(), Is.GreaterThan(0));
    }

    [Test]
    public void BenchRooflineHasARowAKernel()
    {
        File.WriteAllText(_folder.File("workload.json"), TinyWorkload.Json);
        var run = CommandLineRun.Of("bench", "roofline", _folder.File("workload.json"), "--steps", "2", "--threads", "1", "--json", "--svg", _folder.File("roofline.svg"))
            .Succeeded();
        var circles = XDocument.Load(_folder.File("roofline.svg")).Descendants().Count(static e => e.Name.LocalName == "circle");
        Assert.That(circles, Is.GreaterThan(5));
        var kernels = run.Lines.Select(static line => JsonElement.Parse(line).GetProperty("kernel").GetString()).ToList();
        Assert.That(kernels, Does.Contain("SegmentAttentionBackward").And.Contain("AdamW").And.Contain("Gemm A B^T"));
    }

    [Test]
    public void BenchPrintsTheKeysOfThePeer()
    {
        File.WriteAllText(_folder.File("workload.json"), TinyWorkload.Json);
        var run = CommandLineRun.Of("bench", "step", _folder.File("workload.json"), "--steps", "1", "--threads", "1").Succeeded();
        var line = JsonElement.Parse(run.Lines.Single());
        Assert.Multiple(() =>
        {
            Assert.That(Keys(line), Is.EqualTo(new[]
            {
                "peer", "mode", "threads", "ms_per_step_median", "ms_per_step_min", "tokens", "padded_tokens", "tokens_per_s", "last_loss", "peak_bytes",
                "flops_per_step", "peak_flops_per_s", "mfu",
            }));
            Assert.That(line.GetProperty("mfu").GetDouble(), Is.GreaterThan(0).And.LessThan(1.02));
            Assert.That(line.GetProperty("peer").GetString(), Is.EqualTo("tinydpo"));
            Assert.That(line.GetProperty("threads").GetInt32(), Is.EqualTo(1));
            Assert.That(line.GetProperty("tokens").GetInt32(), Is.EqualTo(16));
            Assert.That(line.GetProperty("padded_tokens").GetInt32(), Is.EqualTo(12));
            Assert.That(line.GetProperty("last_loss").GetDouble(), Is.GreaterThan(0).And.LessThan(Math.Log(2)), "the third step");
            Assert.That(line.GetProperty("peak_bytes").GetInt64(), Is.GreaterThan(1 << 20));
        });
    }

    [Test]
    public void DevicesAreALineEach()
    {
        var lines = CommandLineRun.Of("devices").Succeeded().Lines.Select(static line => JsonElement.Parse(line)).ToList();
        Assert.That(lines.Select(static l => l.GetProperty("device").GetString()), Is.EqualTo(new[] { "cpu", "cuda", "sim" }));
        Assert.That(lines.Select(static l => l.GetProperty("available").GetBoolean()
            || l.GetProperty("reason").GetString()!.Length > 0), Is.All.True);
    }

    [Test]
    [Platform(Include = "Linux")]
    public void FullDiskIsOneLine()
    {
        File.WriteAllText(_folder.File("full.json"), TinyWorkload.Json);
        var (workload, weights) = (Repository.Shared("workloads/oracle.json"), Repository.Shared("workloads/oracle.safetensors"));
        CommandLineRun.Of("oracle", workload, weights, "/dev/full").AssertFails(TinyDpo.Cli.CommandLine.Failure, "/dev/full", "disk is full", "free");
    }

    private static string[] Keys(JsonElement value) => [.. value.EnumerateObject().Select(static p => p.Name)];

    private static int[] Ids(JsonElement value) => [.. value.EnumerateArray().Select(static v => v.GetInt32())];
}
