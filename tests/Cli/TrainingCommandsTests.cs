using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.RegularExpressions;
using TinyDpo.Cli;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>From prompts to a trained model with the commands alone, and what an interrupted run leaves.</summary>
internal sealed partial class TrainingCommandsTests
{
    private const int SigInt = 2, SigTerm = 15;

    private TemporaryFolder _folder = null!;
    private string _model = null!;
    private string _prompts = null!;
    private string _pairs = null!;

    [OneTimeSetUp]
    public void SaveModelAndData()
    {
        _folder = new TemporaryFolder();
        _model = TinyModelFolder.Save(_folder.File("model"));
        _prompts = _folder.File("prompts.txt");
        File.WriteAllLines(_prompts, ["the film was", "i liked", "we left", "the music"]);
        _pairs = _folder.File("fixed pairs.jsonl");
        File.WriteAllLines(_pairs, Enumerable.Range(0, 12).Select(static i =>
            $$"""{"prompt": "the film was", "chosen": " good{{new string('!', i)}}", "rejected": " bad{{new string('?', i)}}"}"""));
    }

    [OneTimeTearDown]
    public void Delete() => _folder.Dispose();

    [Test]
    public void PairsThenDpoThenEval()
    {
        var (lexicon, pairs, samples, run) = (_folder.File("lexicon.txt"), _folder.File("new/pairs.jsonl"), _folder.File("samples.jsonl"), _folder.File("run"));
        File.WriteAllLines(lexicon, ["good\t3", "bad\t-3", "the\t1", "film\t2", "angry\t-2", "e\t1", "a\t-1"]);
        var made = Json(CommandLineRun.Of(
            "pairs", "--model", _model, "--prompts", _prompts, "--reward", $"lexicon:{lexicon}", "--out", pairs, "--completions", "6",
            "--pairing", "all", "--labels", "bradley-terry", "--max-tokens", "12"));
        Assert.That(Keys(made), Is.EqualTo(new[] { "pairs", "mean_chosen_reward", "mean_rejected_reward" }));
        var rows = File.ReadAllLines(pairs);
        Assert.That(rows, Has.Length.EqualTo(made.GetProperty("pairs").GetInt32()));
        Assert.That(Keys(JsonElement.Parse(rows[0])), Is.SupersetOf(new[] { "prompt", "chosen", "rejected", "prompt_ids", "chosen_ids", "rejected_ids" }));

        var lines = CommandLineRun.Of(
            "dpo", "--model", _model, "--data", pairs, "--eval-data", pairs, "--out", run, "--batch-size", "8", "--epochs", "2",
            "--learning-rate", "3e-3", "--optimizer", "rmsprop", "--schedule", "constant").Succeeded().Lines;
        Assert.That(lines, Has.Length.EqualTo(1));
        Assert.That(JsonElement.Parse(lines[0]).GetProperty("model").GetString(), Is.EqualTo(Path.Combine(run, "model")));
        var evaluation = JsonElement.Parse(lines[0]);
        Assert.That(Keys(evaluation), Is.SupersetOf(new[] { "eval_loss", "eval_rewards/margins", "eval_rewards/accuracies", "eval_logps/chosen" }));
        Assert.That(evaluation.GetProperty("eval_loss").GetDouble(), Is.LessThan(DpoLoss.AtReference));

        var metrics = File.ReadAllLines(Path.Combine(run, "metrics.jsonl")).Select(static l => JsonElement.Parse(l)).ToList();
        Assert.That(metrics.Count(static m => m.TryGetProperty("eval_loss", out _)), Is.EqualTo(2), "held-out pairs before and after");
        metrics.RemoveAll(static m => !m.TryGetProperty("loss", out _));
        Assert.That(metrics.Select(static m => m.GetProperty("step").GetInt32()), Is.EqualTo(Enumerable.Range(0, metrics.Count)));
        Assert.That(metrics[0].GetProperty("loss").GetDouble(), Is.EqualTo(DpoLoss.AtReference).Within(1e-6));
        Assert.That(Keys(metrics[0]), Is.SupersetOf(new[]
        {
            "epoch", "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies", "logps/chosen", "logps/rejected", "grad_norm",
            "learning_rate", "tokens", "tokens/s", "mfu",
        }));
        Assert.That(
            Directory.GetFiles(Path.Combine(run, "model")).Select(Path.GetFileName),
            Is.SupersetOf(new[] { "config.json", "model.safetensors", "tokenizer.json" }));

        var compared = Json(CommandLineRun.Of(
            "eval", "--policy", Path.Combine(run, "model"), "--reference", _model, "--prompts", _prompts, "--reward", $"lexicon:{lexicon}",
            "--max-tokens", "12", "--samples", samples));
        Assert.That(Keys(compared), Is.SupersetOf(new[]
        {
            "prompts", "policy_reward", "policy_reward_low", "policy_reward_high", "reference_reward", "reward_rise", "win_rate", "kl", "kl_low",
            "reference_nll_per_token_of_policy_samples", "policy_distinct_2", "policy_truncated",
        }));
        Assert.That(compared.GetProperty("kl").GetDouble(), Is.GreaterThan(0));
        Assert.That(
            File.ReadAllLines(samples).Select(static l => JsonElement.Parse(l).GetProperty("prompt").GetString()),
            Is.EqualTo(File.ReadAllLines(_prompts)));
    }

    /// <summary>In the demonstration's world eval knows the grammar too; of a random model's text it accepts nothing.</summary>
    [Test]
    public void InTheWorldEvalSaysWhatTheGrammarAccepts()
    {
        var figures = Json(CommandLineRun.Of(
            "eval", "--policy", _model, "--reference", _model, "--prompts", _prompts, "--reward", "world", "--max-tokens", "4"));
        Assert.That(figures.GetProperty("policy_grammatical").GetDouble(), Is.Zero);
        Assert.That(figures.GetProperty("reference_grammatical").GetDouble(), Is.Zero);
        var (prefix, continuation) = World.Reviews.Sample(1, 0);
        ScoredCompletion[] samples = [new([], continuation, Ended: true, 0), new([], continuation, Ended: false, 0), new([], " xyzzy", Ended: true, 0), new([], continuation, Ended: true, 0)];
        Assert.That(new WorldReward(World.Reviews).GrammaticalShare(Enumerable.Repeat(prefix, 4), samples), Is.EqualTo(0.5), "one was cut, one is no review");
    }

    [TestCase("dpo")]
    [TestCase("sft")]
    [TestCase("reward-model")]
    public void ADryRunSaysWhatTheRunTakesAndWritesNothing(string command)
    {
        var run = _folder.File($"{command} dry");
        string[] arguments = [command, "--model", _model, "--data", _pairs, "--out", run, "--batch-size", "4", "--epochs", "3", "--dry-run"];
        var dry = CommandLineRun.Of(arguments);
        Assert.That(dry.ExitCode, Is.Zero);
        Assert.That(dry.Error, Does.Contain("activations").And.Contain("GFLOP").And.Contain("An estimate").And.Contain("It fits."));
        var said = JsonElement.Parse(dry.Lines.Single());
        Assert.That(Keys(said), Is.EqualTo(new[]
        {
            "parameters_bytes", "gradients_bytes", "optimizer_bytes", "reference_bytes", "activations_bytes", "scratch_bytes", "total_bytes", "machine_bytes",
            "fits", "largest_micro_batch_tokens", "examples", "epochs", "steps", "flops_per_step", "peak_flops_per_second", "estimated_seconds_per_step", "remedies",
        }));
        Assert.That(said.GetProperty("steps").GetInt32(), Is.EqualTo(9));
        Assert.That(said.GetProperty("machine_bytes").GetInt64(), Is.GreaterThan(said.GetProperty("total_bytes").GetInt64()).And.GreaterThan(100_000_000));
        Assert.That(said.GetProperty("fits").GetBoolean(), Is.True);
        Assert.That(Directory.Exists(run), Is.False);
        CommandLineRun.Of([.. arguments, "--quiet"]).Succeeded();
        CommandLineRun.Of([.. arguments, "--resume"]).AssertFails(CommandLine.BadUsage, "--resume has no effect with --dry-run");
    }

#if !DOUBLE
    [Test]
    public void ADryRunRefusesWhatTheDeviceDoes()
    {
        var model = TinyModelFolder.Save(_folder.File("mistral"));
        var config = File.ReadAllText(Path.Combine(model, "config.json"));
        File.WriteAllText(Path.Combine(model, "config.json"), config.Replace("LlamaForCausalLM", "MistralForCausalLM").Replace("\"llama\"", "\"mistral\"")
            .Replace("\"vocab_size\"", "\"sliding_window\": 2, \"vocab_size\""));
        string[] arguments = ["dpo", "--model", model, "--data", _pairs, "--out", _folder.File("mistral run"), "--dry-run"];
        CommandLineRun.Of([.. arguments, "--device", "sim"]).AssertFails(CommandLine.Failure, "sliding_window", "--device sim has no attention within a window");
        Assert.That(CommandLineRun.Of(arguments).ExitCode, Is.Zero);
    }
#endif

    /// <summary>Where stderr is no terminal too, of which notes and progress are not worth a line.</summary>
    [Test]
    public void WhatAResumedRunHasLostIsSaid()
    {
        var run = _folder.File("lossy");
        string[] arguments = ["sft", "--model", _model, "--data", _pairs, "--out", run, "--batch-size", "4", "--epochs", "2", "--checkpoint-every", "4"];
        Assert.That(CommandLineRun.Of(arguments).Error, Is.Empty);
        var (metrics, checkpoint) = (Path.Combine(run, "metrics.jsonl"), Path.Combine(run, "checkpoint-4"));
        File.WriteAllLines(metrics, File.ReadAllLines(metrics).Where(static (_, i) => i != 1));
        File.Delete(Path.Combine(checkpoint, "metrics-tail.jsonl"));
        Checksums.Write(checkpoint);
        Assert.That(
            CommandLineRun.Of([.. arguments, "--resume"]).Error, Does.StartWith("tinydpo: warning: ").And.Contain($"{metrics} lacks the lines of steps 1,"));
        CommandLineRun.Of([.. arguments, "--resume", "--quiet"]).Succeeded();
    }

    [TestCase("dpo")]
    [TestCase("sft")]
    [TestCase("reward-model")]
    public void GradientCheckpointingWritesTheSameModel(string command)
    {
        Assert.That(Train("again", "--gradient-checkpointing"), Is.EqualTo(Train("kept")));

        byte[] Train(string name, params string[] more)
        {
            var run = _folder.File($"{command} {name}");
            CommandLineRun.Of([command, "--model", _model, "--data", _pairs, "--out", run, "--batch-size", "4", .. more]).Succeeded();
            return File.ReadAllBytes(Path.Combine(run, "model/model.safetensors"));
        }
    }

    /// <summary>Batches of 64 and a rate that begins at 0 and rises by 1e-6 / 150 a step; what is given goes before.</summary>
    [TestCase(12, "")]
    [TestCase(4, "--batch-size 4")]
    public void ThePapersPresetIsThePapers(int batch, string more)
    {
        var run = _folder.File($"preset {batch}");
        CommandLineRun.Of(
        [
            "dpo", "--model", _model, "--data", _pairs, "--out", run, "--preset", "paper", "--epochs", "3", .. more.Split(' ', StringSplitOptions.RemoveEmptyEntries),
        ]).Succeeded();
        var metrics = File.ReadAllLines(Path.Combine(run, "metrics.jsonl")).Select(static l => JsonElement.Parse(l)).ToList();
        Assert.That(metrics, Has.Count.EqualTo(3 * 12 / batch));
        Assert.That(
            metrics.Select(static m => m.GetProperty("learning_rate").GetDouble()),
            Is.EqualTo(metrics.Select(static (_, step) => 1e-6 * step / 150)).Within(1e-20));
        Assert.That(metrics[0].GetProperty("weights/p50").GetDouble(), Is.EqualTo(0.1 / 2).Within(1e-9), "beta");
    }

    /// <summary>Cut into shards and put together again, the bytes of the model that was never cut.</summary>
    [Test]
    public void AModelInShardsIsReadAsAnyOther()
    {
        var (whole, cut, merged) = (_folder.File("in one file"), _folder.File("in shards"), _folder.File("merged"));
        CommandLineRun.Of("dpo", "--model", _model, "--data", _pairs, "--out", whole).Succeeded();
        CommandLineRun.Of("dpo", "--model", _model, "--data", _pairs, "--out", cut, "--max-shard-size", "6KB").Succeeded();
        Assert.That(
            Directory.GetFiles(Path.Combine(cut, "model")).Select(Path.GetFileName),
            Has.Member("model.safetensors.index.json").And.Some.StartsWith("model-00002-of-").And.No.Member("model.safetensors"));
        CommandLineRun.Of("merge", "--model", Path.Combine(cut, "model"), "--out", merged).Succeeded();
        Assert.That(
            File.ReadAllBytes(Path.Combine(merged, "model.safetensors")), Is.EqualTo(File.ReadAllBytes(Path.Combine(whole, "model/model.safetensors"))));
    }

    [Test]
    public void SftMakesAModelThatDpoTakes()
    {
        var (data, run) = (_folder.File("sft.jsonl"), _folder.File("sft run"));
        File.WriteAllLines(data, ["{\"text\": \"the film was good\"}", "{\"prompt\": \"i liked\", \"completion\": \" the music\"}"]);
        var saved = Json(CommandLineRun.Of(
            "sft", "--config", Path.Combine(_model, "config.json"), "--tokenizer", _model, "--data", data, "--out", run)).GetProperty("model");
        Json(CommandLineRun.Of("dpo", "--model", saved.GetString()!, "--data", _pairs, "--out", _folder.File("sft then dpo")));
    }

    [Test]
    public void AnInterruptedRunResumedIsTheRunThatWasNotInterrupted()
    {
        string[] command = ["dpo", "--model", _model, "--data", _pairs, "--batch-size", "2", "--epochs", "2", "--learning-rate", "1e-3"];
        var (whole, broken) = (_folder.File("whole"), _folder.File("broken"));
        CommandLineRun.Of([.. command, "--out", whole]).Succeeded();

        using (var backend = new CpuBackend(1))
        using (var cancellation = new CancellationTokenSource())
        {
            var options = new DpoRunOptions
            {
                Model = _model,
                Data = _pairs,
                Out = broken,
                Training = new TrainingOptions { BatchSize = 2, Epochs = 2, LearningRate = 1e-3 },
            };
            var log = new CancelAfter(5, cancellation);
            Assert.That(() => DpoRun.Run(options, backend, log, cancellation.Token), Throws.InstanceOf<OperationCanceledException>());
        }
        Assert.That(Directory.Exists(Path.Combine(broken, "checkpoint-5")), Is.True);
        Assert.That(Directory.Exists(Path.Combine(broken, "model")), Is.False);
        CommandLineRun.Of([.. command, "--out", broken]).AssertFails(CommandLine.Failure, Path.Combine(broken, "checkpoint-5"), "--resume");
        CommandLineRun.Of([.. command, "--out", broken, "--resume", "--beta", "0.2"]).AssertFails(CommandLine.Failure, "other data, options");
        File.AppendAllText(Path.Combine(broken, "metrics.jsonl"), "{\"step\": 5, \"lo"); // as a crash leaves it

        CommandLineRun.Of([.. command, "--out", broken, "--resume"]).Succeeded();
        Assert.That(Metrics(broken).Count(), Is.EqualTo(Metrics(whole).Count()));
#if !DOUBLE // files hold float32, so there a checkpoint rounds
        Assert.That(Metrics(broken), Is.EqualTo(Metrics(whole)));
        Assert.That(Bytes(broken), Is.EqualTo(Bytes(whole)));
#endif

#if !DOUBLE
        static byte[] Bytes(string folder) => File.ReadAllBytes(Path.Combine(folder, "model", "model.safetensors"));
#endif

        // All but the speed.
        static IEnumerable<string> Metrics(string folder) =>
            File.ReadLines(Path.Combine(folder, "metrics.jsonl")).Select(static line => Regex.Replace(line, "\"(tokens/s|mfu)\":[^,}]*", ""));
    }

    [Test]
    [Platform(Include = "Linux")]
    public void CtrlCSavesACheckpointAndSaysHowToGoOn()
    {
        var run = Directory.CreateDirectory(_folder.File("endless run")).FullName;
        using var saved = new ManualResetEventSlim();
        using var watcher = new FileSystemWatcher(run, "checkpoint-*");
        watcher.Renamed += (_, _) => saved.Set();
        watcher.Created += (_, _) => saved.Set();
        watcher.EnableRaisingEvents = true;
        using var process = CommandLineRun.Start(
            "dpo", "--model", _model, "--data", _pairs, "--out", run, "--epochs", "1000000", "--checkpoint-every", "1", "--threads", "1");
        Assert.That(saved.Wait(TimeSpan.FromMinutes(1)), Is.True, "a checkpoint");
        Assert.That(Kill(process.Id, SigInt), Is.Zero);
        Assert.That(Kill(process.Id, SigTerm), Is.Zero, "in a hurry");

        var result = CommandLineRun.Wait(process);
        result.AssertFails(CommandLine.Interrupted, "interrupted", "--resume", Path.Combine(run, "checkpoint-"));
        var newest = Regex.Match(result.Error, @"checkpoint-(\d+)").Groups[1].Value;
        Assert.That(File.ReadAllLines(Path.Combine(run, "metrics.jsonl")), Has.Length.EqualTo(int.Parse(newest)), "a checkpoint of every step made");
        Assert.That(Directory.Exists(Path.Combine(run, $"checkpoint-{newest}")), Is.True);
    }

    [Test]
    public void WithStderrRedirectedOnlyStdoutSpeaks()
    {
        var run = CommandLineRun.OfProcess([], "dpo", "--model", _model, "--data", _pairs, "--out", _folder.File("silent"), "--threads", "1").Succeeded();
        Assert.That(run.Lines.Select(static line => JsonElement.Parse(line).ValueKind), Is.All.EqualTo(JsonValueKind.Object));
    }

    private static JsonElement Json(CommandLineRun run) => JsonElement.Parse(run.Succeeded().Lines.Single());

    private static string[] Keys(JsonElement value) => [.. value.EnumerateObject().Select(static p => p.Name)];

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);

    /// <summary>Cancels in a stage that reports details, which only training does.</summary>
    private sealed class CancelAfter(int steps, CancellationTokenSource cancellation) : IRunLog
    {
        public void Stage(string name, int total)
        {
        }

        public void Advance(int done, string? detail = null)
        {
            if (detail is not null && done == steps)
            {
                cancellation.Cancel();
            }
        }

        public void Note(string line)
        {
        }
    }
}
