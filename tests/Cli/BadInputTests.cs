using TinyDpo.Cli;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>
/// Bad files: exit code 1, one line on stderr that names the file, the place in it and a remedy, and nothing written where OUT should be.
/// The tests may run as root, for whom no folder is read-only: a file where a folder should be refuses everybody.
/// </summary>
internal sealed class BadInputTests
{
    private const string Pair = """{"prompt": "the film was", "chosen": " good", "rejected": " bad"}""";

    private TemporaryFolder _folder = null!;
    private string _model = null!;
    private string _pairs = null!;
    private string _prompts = null!;

    [OneTimeSetUp]
    public void SaveModelAndData()
    {
        _folder = new TemporaryFolder();
        _model = TinyModelFolder.Save(_folder.File("model"));
        _pairs = Write("pairs.jsonl", Pair + "\n");
        _prompts = Write("prompts.txt", "the film was\n");
    }

    [OneTimeTearDown]
    public void Delete() => _folder.Dispose();

    private string Out => _folder.File("out");

    [TearDown]
    public void NothingIsLeftInOut() =>
        Assert.That(Directory.Exists(Out) ? Directory.GetFileSystemEntries(Out) : [], Is.Empty, "left in --out by a run that failed");

    [Test]
    public void MissingModel()
    {
        Fails(["dpo", "--model", _folder.File("nowhere"), "--data", _pairs, "--out", Out], _folder.File("nowhere"), "Hugging Face folder");
        Fails(["generate", "--model", _folder.File("nowhere"), "--prompt", "x"], _folder.File("nowhere"), "Hugging Face folder");
        Fails(["score", "--policy", _model, "--reference", _folder.File("nowhere"), "--data", _pairs], _folder.File("nowhere"));
    }

    [Test]
    public void TornJsonLine()
    {
        var torn = Write("torn.jsonl", Pair + "\n" + Pair[..30]);
        Fails(["dpo", "--model", _model, "--data", torn, "--out", Out], torn, "line 2", "correct or delete the line");
        Fails(["dpo", "--model", _model, "--data", _pairs, "--eval-data", torn, "--out", Out], torn, "line 2");
        Fails(["sft", "--model", _model, "--data", torn, "--out", Out], torn, "line");
        Fails(["pairs", "--model", _model, "--prompts", torn, "--reward", "world", "--out", _folder.File("out/pairs.jsonl")], torn, "line 2");
    }

    [Test]
    public void EmptyCompletion()
    {
        var empty = Write("empty.jsonl", Pair + "\n" + """{"prompt": "a", "chosen": "b", "rejected": ""}""" + "\n");
        Fails(["dpo", "--model", _model, "--data", empty, "--out", Out], empty, "line 2", "'rejected' is an empty completion", "remove the row");
    }

    [Test]
    public void PairLongerThanTheContext()
    {
        var text = string.Join(' ', Enumerable.Repeat("angry", 60));
        var prompt = Write("long.jsonl", $$"""{"prompt": "{{text}}", "chosen": "b", "rejected": "c"}""");
        Fails(["dpo", "--model", _model, "--data", prompt, "--out", Out], prompt, "line 1", "no room for a completion", "lower that of the prompt");
        var completion = Write("longer.jsonl", Pair + "\n" + $$"""{"prompt": "a", "chosen": "{{text}}", "rejected": "c"}""");
        Fails(["score", "--policy", _model, "--reference", _model, "--data", completion], completion, "line 2", "limit of 48", "shorten");
    }

    [Test]
    public void PromptLongerThanTheContext()
    {
        var text = string.Join(' ', Enumerable.Repeat("angry", 60));
        Fails(["generate", "--model", _model, "--prompt", text], "--prompt", "context is 48", "shorter prompt");
        var prompts = Write("long.txt", $"the film\n\n{text}\n");
        Fails(
            ["pairs", "--model", _model, "--prompts", prompts, "--reward", "world", "--out", _folder.File("out/p.jsonl")],
            prompts, "line 3", "context is 48", "shorten");
        Fails(["eval", "--policy", _model, "--reference", _model, "--prompts", prompts, "--reward", "world"], prompts, "line 3");
    }

    [Test]
    public void TruncatedSafetensors()
    {
        foreach (var bytes in new[] { 0, 5, 100, 2000 })
        {
            var model = CopyOfModel($"truncated-{bytes}");
            var weights = Path.Combine(model, "model.safetensors");
            File.WriteAllBytes(weights, File.ReadAllBytes(weights)[..bytes]);
            Fails(["dpo", "--model", model, "--data", _pairs, "--out", Out], weights, "cut short", "copy or download it again");
        }
    }

    [Test]
    public void VocabularyThatDoesNotFitTheWeights()
    {
        var model = CopyOfModel("vocabulary");
        var config = Path.Combine(model, "config.json");
        File.WriteAllText(config, System.Text.RegularExpressions.Regex.Replace(File.ReadAllText(config), "\"vocab_size\": *\\d+", "\"vocab_size\": 90"));
        Fails(["dpo", "--model", model, "--data", _pairs, "--out", Out], model, "model.embed_tokens.weight", "[90, 16]", "config.json");

        var large = Path.Combine(TinyModelFolder.SaveTokenizer(_folder.File("large"), 290), "tokenizer.json");
        Fails(["dpo", "--model", _model, "--tokenizer", large, "--data", _pairs, "--out", Out], large, "290 ids", "trained with");
    }

    [Test]
    public void TokenIdOutsideTheVocabulary()
    {
        var ids = Write("ids.jsonl", """{"prompt_ids": [1], "chosen_ids": [2, 9999], "rejected_ids": [3]}""");
        Fails(["dpo", "--model", _model, "--data", ids, "--out", Out], ids, "line 1", "9999", "tokenizer");
    }

    [Test]
    public void OutputThatCannotBeWritten()
    {
        var under = Path.Combine(_pairs, "sub");
        Fails(["dpo", "--model", _model, "--data", _pairs, "--out", under], under, "choose another folder");
        Fails(["sft", "--model", _model, "--data", Write("sft.jsonl", """{"text": "the film was good"}"""), "--out", under], under);
        Fails(["demo", "--quick", "--out", under], under, "choose another folder");
        Fails(["pairs", "--model", _model, "--prompts", _prompts, "--reward", "world", "--out", Path.Combine(under, "p.jsonl")], under);
        Fails(["pairs", "--model", _model, "--prompts", _prompts, "--reward", "world", "--out", _folder.Path], _folder.Path, "is a folder");
        Fails(
            ["eval", "--policy", _model, "--reference", _model, "--prompts", _prompts, "--reward", "world", "--samples", Path.Combine(under, "s")],
            under, "choose another folder");
        Fails(["dpo", "--model", _model, "--data", _pairs, "--out", ""], "''", "check the path");
    }

    [Test]
    public void CheckpointsOfAnEarlierRun()
    {
        var folder = Directory.CreateDirectory(_folder.File("earlier/checkpoint-7")).Parent!.FullName;
        Fails(["dpo", "--model", _model, "--data", _pairs, "--out", folder], Path.Combine(folder, "checkpoint-7"), "--resume", "another --out");
        Fails(["dpo", "--model", _model, "--data", _pairs, "--out", folder, "--resume"], Path.Combine(folder, "checkpoint-7", Checksums.Name), "delete this folder");
        State("""{"Step": 7, "Key": "another"}""");
        Fails(
            ["dpo", "--model", _model, "--data", _pairs, "--out", folder, "--resume"],
            Path.Combine(folder, "checkpoint-7", "trainer_state.json"), "another --out");
        State("""{"Step": """);
        Fails(["dpo", "--model", _model, "--data", _pairs, "--out", folder, "--resume"], "trainer_state.json", "not valid JSON");
        Assert.That(File.Exists(Path.Combine(folder, "metrics.jsonl")), Is.False);

        void State(string text)
        {
            File.WriteAllText(Path.Combine(folder, "checkpoint-7", "trainer_state.json"), text);
            Checksums.Write(Path.Combine(folder, "checkpoint-7"));
        }
    }

    [Test]
    public void ModelFolderWithoutTokenizer()
    {
        var model = CopyOfModel("wordless");
        File.Delete(Path.Combine(model, "tokenizer.json"));
        Fails(["generate", "--model", model, "--prompt", "x"], Path.Combine(model, "tokenizer.json"), "there is no such file");
    }

    [Test]
    public void UnknownArchitecture()
    {
        var model = CopyOfModel("gemma");
        var config = Path.Combine(model, "config.json");
        File.WriteAllText(config, File.ReadAllText(config).Replace("LlamaForCausalLM", "GemmaForCausalLM", StringComparison.Ordinal));
        Fails(["dpo", "--model", model, "--data", _pairs, "--out", Out], config, "GemmaForCausalLM", "LlamaForCausalLM");
    }

    [Test]
    public void WeightsThatAreNotNumbers()
    {
        var model = CopyOfModel("nan");
        var weights = Path.Combine(model, "model.safetensors");
        var bytes = File.ReadAllBytes(weights);
        bytes.AsSpan(bytes.Length / 2).Fill(0xff);
        File.WriteAllBytes(weights, bytes);
        Fails(["score", "--policy", model, "--reference", _model, "--data", _pairs], model, "tensor '", "not finite", "damaged");
        Fails(["dpo", "--model", model, "--data", _pairs, "--out", Out], model, "not finite");
        Fails(["eval", "--policy", model, "--reference", _model, "--prompts", _prompts, "--reward", "world"], model, "not finite");
    }

    /// <summary>A loss that overflows is one line, whether it is scored, explained or trained; and so is a step that throws the weights far away.</summary>
    [Test]
    public void LossThatIsNotFinite()
    {
        string[] models = ["--policy", _model, "--reference", CopyOfModel("same"), "--data", _pairs];
        string[] overflowing = ["--loss", "sppo_hard", "--beta", sizeof(Real) == 4 ? "1e-25" : "1e-200"];
        string[] steep = ["--loss", "sppo_hard", "--beta", sizeof(Real) == 4 ? "1e-15" : "1e-100"];
        Fails(["score", .. models, .. overflowing], _pairs, "line 1", "loss is not finite", "another --beta");
        Fails(["explain", "--json", .. models, .. overflowing], _pairs, "line 1", "is not finite", "another --beta");
        Fails(["dpo", "--model", _model, "--data", _pairs, "--out", _folder.File("begun"), .. overflowing], "step 0", "another --loss or --beta");
        Fails(["explain", "--json", .. models, .. steep, "--learning-rate", "1000"], _pairs, "line 1", "is not finite", "smaller --learning-rate");
    }

    [Test]
    public void KtoOnOneRow()
    {
        var one = Write("one.jsonl", File.ReadLines(_pairs).First());
        foreach (var command in new[] { ["score", "--policy", _model, "--reference", _model, "--data", one], new[] { "dpo", "--model", _model, "--data", one, "--out", Out } })
        {
            Fails([.. command, "--loss", "kto"], one, "line 1", "only row", "two rows");
        }
        CommandLineRun.Of("score", "--policy", _model, "--reference", _model, "--data", one).Succeeded();
    }

    [Test]
    public void PromptsAndLexicon()
    {
        var empty = Write("empty.txt", "\n\n");
        string[] pairs = ["pairs", "--model", _model, "--out", _folder.File("out/p.jsonl")];
        Fails([.. pairs, "--prompts", empty, "--reward", "world"], empty, "no prompt", "one prompt a line");
        Fails([.. pairs, "--prompts", _prompts, "--reward", "lexicon:" + _folder.File("no.txt")], _folder.File("no.txt"), "there is no such file");
        Fails([.. pairs, "--prompts", _prompts, "--reward", "lexicon:" + _prompts], _prompts, "line 1", "TAB");
    }

    [Test]
    public void PromptsThatGiveNoPair()
    {
        var file = _folder.File("none/p.jsonl");
        Fails(
            ["pairs", "--model", _model, "--prompts", _prompts, "--reward", "world", "--completions", "1", "--out", file], _prompts, "--completions");
        Assert.That(File.Exists(file), Is.False);
    }

    [TestCase("{\"config\": ", "not valid JSON")]
    [TestCase("{}", "'config'")]
    [TestCase("\"seed\": -1", "seed", "is -1")]
    [TestCase("\"beta\": \"x\"", "beta", "above 0")]
    [TestCase("\"beta\": -1", "beta", "is -1")]
    [TestCase("\"learning_rate\": 1e300", "learning_rate", "at most 1000")]
    [TestCase("\"pairs\": []", "pairs", "at least one pair")]
    [TestCase("\"pairs\": [{\"prompt\": [1], \"chosen\": [\"2\"], \"rejected\": [3]}]", "pairs[0].chosen", "ids below 20")]
    [TestCase("\"pairs\": [{\"prompt\": [1], \"chosen\": [2]}]", "pairs[0]", "'rejected'")]
    public void Workload(string json, params string[] texts)
    {
        var workload = Write("workload.json", json.StartsWith('{') ? json : TinyWorkload.With(json));
        Fails(["bench", "step", workload, "--steps", "1"], [workload, .. texts]);
        Fails(["oracle", workload, _folder.File("weights"), _folder.File("out/o.safetensors")], [workload, .. texts]);
    }

    [Test]
    public void WeightsOfTheBenchmark()
    {
        var (workload, weights) = (Write("good.json", TinyWorkload.Json), _folder.File("partial.safetensors"));
        SafetensorsWriter.Write(weights, [("model.embed_tokens.weight", [20, 8], (ReadOnlyMemory<Real>)new Real[160])]);
        Fails(["bench", "step", workload, "--weights", weights], weights, "tensor 'model.", "is missing");
        Fails(["bench", "step", workload, "--weights", _folder.File("no-weights")], _folder.File("no-weights"), "check the path");
        Fails(["oracle", workload, weights, _folder.File("out/o.safetensors")], weights, "tensor 'policy.", "is missing");
    }

    [TestCase("\"a\"\nnope\n", "line 2", "JSON string")]
    [TestCase("null\n", "line 1", "JSON string")]
    [TestCase("\n\"a\n", "line 2", "JSON string")]
    [TestCase("[\"a\"]\n", "line 1", "JSON string")]
    public void LineThatIsNoJsonString(string input, params string[] texts)
    {
        var run = CommandLineRun.OfProcess(System.Text.Encoding.UTF8.GetBytes(input), "tokenize", "--model", _model);
        (run with { Output = "" }).AssertFails(CommandLine.Failure, ["stdin", .. texts]);
    }

    [Test]
    public void TextThatIsNotUtf8() => CommandLineRun.OfProcess([(byte)'"', 0xff, (byte)'"'], "tokenize", "--model", _model)
        .AssertFails(CommandLine.Failure, "stdin", "line 1", "UTF-8");

    private static void Fails(string[] args, params string[] texts) => CommandLineRun.Of(args).AssertFails(CommandLine.Failure, texts);

    private string Write(string name, string text)
    {
        File.WriteAllText(_folder.File(name), text);
        return _folder.File(name);
    }

    private string CopyOfModel(string name)
    {
        var copy = Directory.CreateDirectory(_folder.File(name)).FullName;
        foreach (var file in Directory.GetFiles(_model))
        {
            File.Copy(file, Path.Combine(copy, Path.GetFileName(file)), overwrite: true);
        }
        return copy;
    }
}
