using System.Text.Json;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

/// <summary>Whole runs from files to files, on a tiny model and a dozen rows.</summary>
public class RunTests
{
    private const int Steps = 9;
    private static readonly ByteLevelTokenizer s_tokenizer =
        BytePairTrainer.Train("the food was good and the film was bad", 270, ["<|endoftext|>"]);

    private TemporaryFolder _folder = null!;
    private CpuBackend _backend = null!;

    [SetUp]
    public void Open()
    {
        (_folder, _backend) = (new TemporaryFolder(), new CpuBackend(2));
        ModelFile.Save(Model, TinyModels.Create(_backend, TinyModels.Config(vocabulary: s_tokenizer.VocabSize)), s_tokenizer);
        File.WriteAllLines(Pairs, Enumerable.Range(0, 12).Select(static i => JsonSerializer.Serialize(
            new { prompt = $"film {i}", chosen = " was good" + new string('!', i % 3), rejected = " was bad" + new string('?', i % 4) })));
        File.WriteAllLines(Texts, Enumerable.Range(0, 12).Select(static i => JsonSerializer.Serialize(
            new { prompt = $"film {i}", completion = $" was number {i}" })));
    }

    [TearDown]
    public void Close()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    [Test]
    public void DpoWritesMetricsAndAModelThatPrefersTheChosen()
    {
        var log = new StoppingLog();
        var result = DpoRun.Run(Dpo("out") with { EvalData = Pairs }, _backend, log, default);
        Assert.That(log.Notes, Has.Some.StartsWith("held-out: 12 rows read"));
        var all = Metrics("out");
        var lines = all[1..^1];
        Assert.That(lines, Has.Length.EqualTo(Steps));
        foreach (var (line, step) in lines.Select(static (l, i) => (l, i)))
        {
            Assert.That(line.Keys, Is.EquivalentTo((string[])
            [
                "step", "epoch", "loss", "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies", "logps/chosen",
                "logps/rejected", "weights/p5", "weights/p25", "weights/p50", "weights/p75", "weights/p95", .. WeightHistogram.Names, "grad_norm", "learning_rate", "tokens", "num_tokens", "tokens/s",
                "mfu",
            ]));
            Assert.That(line["step"], Is.EqualTo(step));
            Assert.That(line["epoch"], Is.EqualTo((step + 1) / 3.0));
            Assert.That(line["num_tokens"], Is.EqualTo(lines[..(step + 1)].Sum(static l => l["tokens"])));
            Assert.That(line.Values, Has.All.Matches<double>(double.IsFinite));
        }
        Assert.That(lines[0]["loss"], Is.EqualTo(Math.Log(2)).Within(1e-6));
        Assert.That(lines[^1]["loss"], Is.LessThan(lines[0]["loss"]));
        var measured = result.Evaluation.ToDictionary(static m => m.Name, static m => m.Value);
        Assert.That((all[0]["step"], all[^1]["step"]), Is.EqualTo((0, Steps)));
        Assert.That(all[0]["eval_loss"], Is.EqualTo(Math.Log(2)).Within(1e-6), "before the first step");
        Assert.That(all[^1].Where(static e => e.Key is not ("step" or "epoch")), Is.EquivalentTo(measured), "after the last");
        Assert.That((all[0]["epoch"], all[^1]["epoch"]), Is.EqualTo((0, 3)));
        Assert.That(measured["eval_entropy"], Is.GreaterThan(0).And.LessThan(Math.Log(s_tokenizer.VocabSize)));
        Assert.That(measured["eval_mean_token_accuracy"], Is.InRange(0, 1));
        Assert.That(all[0].Keys, Is.EqualTo(all[^1].Keys));
        Assert.That(measured["eval_rewards/margins"], Is.GreaterThan(0.01));
        Assert.That(measured["eval_loss"], Is.LessThan(Math.Log(2)));

        // What was written is what was trained: the saved model has the margins just measured.
        var pairs = ReadData.Pairs(Pairs, s_tokenizer).Pairs;
        var saved = ModelFile.Load(_folder.File("out/model"), _backend).Model;
        var reference = ReferenceLogProbs.Compute(ModelFile.LoadWeights(Model, _backend), pairs);
        var again = PairEvaluation.Measure(saved, pairs, reference, new DpoLoss());
        Assert.That(again.Loss, Is.EqualTo(measured["eval_loss"]).Within(1e-6));
        Assert.That(Directory.EnumerateFileSystemEntries(_folder.File("out")).Select(Path.GetFileName),
            Is.EquivalentTo(new[] { "examples.json", "metrics.jsonl", "model", "options.json", "reference-logps.jsonl" }));
    }

    [Test]
    public void SftWritesMetricsAndAModelThatKnowsTheTexts()
    {
        File.AppendAllText(Texts, JsonSerializer.Serialize(new { prompt = new string('x', 300), completion = "y" }));
        var result = SftRun.Run(Sft("out") with { MaxLength = 12 }, _backend, IRunLog.Silent, default);
        var lines = Metrics("out");
        Assert.That(lines, Has.Length.EqualTo(Steps));
        Assert.That(lines[0].Keys, Is.EquivalentTo(new[] { "step", "epoch", "loss", "grad_norm", "learning_rate", "tokens", "num_tokens", "tokens/s" }));
        Assert.That(lines[^1]["loss"], Is.LessThan(0.9 * lines[0]["loss"]));
        var line = result.ToLine();
        Assert.That(line.Keys, Is.EqualTo(new[]
        {
            "model", "read", "kept", "dropped", "dropped_lines", "truncated", "truncated_lines", "longest", "mean_prompt", "mean_completion",
        }));
        Assert.That((line["model"], line["read"], line["kept"], line["dropped"]), Is.EqualTo((_folder.File("out/model"), 13, 12, 1)));
        Assert.That(line["truncated"], Is.EqualTo(result.Data.Truncated).And.GreaterThan(0));
        Assert.That((line["dropped_lines"], line["longest"]), Is.EqualTo((new[] { 13 }, 12)));
        Assert.That(line["truncated_lines"], Has.Exactly(result.Data.Truncated).Items.And.None.GreaterThan(12));
        var (model, tokenizer) = ModelFile.Load(_folder.File("out/model"), _backend);
        Assert.That(tokenizer.Fingerprint, Is.EqualTo(s_tokenizer.Fingerprint));
        Assert.That(TinyModels.Weights(model), Is.Not.EqualTo(TinyModels.Weights(ModelFile.LoadWeights(Model, _backend))));
    }

    /// <summary>A run that is cut to a few steps makes those of the whole run, though it has the reference of their pairs alone.</summary>
    [Test]
    public void AFewStepsAreTheFirstOfTheWholeRun([Values("sigmoid", "kto")] string loss)
    {
        var options = Dpo("whole") with { Loss = LossCatalog.Create(loss, new LossSettings()), TokenBudget = 40 };
        options = options with { Training = options.Training with { BatchSize = 2, Epochs = 1, Schedule = ScheduleKind.Constant } };
        DpoRun.Run(options, _backend, IRunLog.Silent, default);
        var few = options with { Out = _folder.File("few"), Training = options.Training with { MaxSteps = 4 } };
        DpoRun.Run(few, _backend, IRunLog.Silent, default);
        Assert.That(Steps("few"), Is.EqualTo(Steps("whole")[..4]));
        Assert.That(File.ReadAllLines(_folder.File("few/reference-logps.jsonl")), Has.Length.EqualTo(1 + (2 * 4)), "a header, and 4 batches of 2");
        Assert.That(File.ReadAllLines(_folder.File("whole/reference-logps.jsonl")), Has.Length.EqualTo(1 + 12));

        // Epochs are no limit: here are two and a bit.
        DpoRun.Run(options with { Out = _folder.File("many"), Training = options.Training with { MaxSteps = 13 } }, _backend, IRunLog.Silent, default);
        Assert.That(Steps("many")[..6], Is.EqualTo(Steps("whole")));
        Assert.That(Steps("many"), Has.Length.EqualTo(13));

        string[] Steps(string name) =>
            [.. Metrics(name).Select(static line => string.Join(' ', line.Where(static e => e.Key is not ("tokens/s" or "mfu")).Select(static e => $"{e.Key} {e.Value:R}")))];
    }

    [Test]
    public void SftFromScratchStartsFromTheSeed()
    {
        byte[] Run(string name, ulong seed)
        {
            var options = Sft(name) with { Model = null, Config = Path.Combine(Model, "config.json"), Tokenizer = Model };
            SftRun.Run(options with { Training = options.Training with { Seed = seed } }, _backend, IRunLog.Silent, default);
            return Weights(name);
        }
        var first = Run("a", 1);
        Assert.That(Run("b", 1), Is.EqualTo(first));
        Assert.That(Run("c", 2), Is.Not.EqualTo(first));
        Assert.That(Metrics("a")[0]["loss"], Is.EqualTo(Math.Log(s_tokenizer.VocabSize)).Within(0.1), "new weights know nothing");
    }

    [Test]
    public void ADpoRunStoppedAndResumedIsTheOneThatNeverStopped([Values(1, 4, 8)] int stopAfter, [Values] OptimiserKind optimiser)
    {
        var training = Dpo("").Training with { Optimiser = optimiser, CheckpointEvery = 3 };
        DpoRun.Run(Dpo("whole") with { Training = training }, _backend, IRunLog.Silent, default);
        using var stop = new CancellationTokenSource();
        Assert.That(
            () => DpoRun.Run(Dpo("parts") with { Training = training }, _backend, new StoppingLog(stop, stopAfter), stop.Token),
            Throws.InstanceOf<OperationCanceledException>());
        Assert.That(File.Exists(_folder.File("parts/model/model.safetensors")), Is.False);
        Assert.That(Metrics("parts"), Has.Length.EqualTo(stopAfter));

        var log = new StoppingLog();
        DpoRun.Run(Dpo("parts") with { Training = training, Resume = true }, _backend, log, default);
        Assert.That(log.Notes, Has.Some.Contains($"checkpoint-{stopAfter}"));
        AssertSameRun("whole", "parts");
    }

    [Test]
    public void ARunWithAdaptersStoppedAndResumedIsTheOneThatNeverStopped()
    {
        var training = Dpo("").Training with { Lora = new LoraOptions { Rank = 2, Alpha = 4 }, MergeAdapters = true };
        DpoRun.Run(Dpo("whole") with { Training = training }, _backend, IRunLog.Silent, default);
        using var stop = new CancellationTokenSource();
        Assert.That(
            () => DpoRun.Run(Dpo("parts") with { Training = training }, _backend, new StoppingLog(stop, 4), stop.Token),
            Throws.InstanceOf<OperationCanceledException>());
        DpoRun.Run(Dpo("parts") with { Training = training, Resume = true }, _backend, IRunLog.Silent, default);
        AssertSameRun("whole", "parts");
    }

    /// <summary>Held-out pairs measured on the way change no bit of the steps, and a run stopped where it would measure does so when it goes on.</summary>
    [Test]
    public void HeldOutPairsAreMeasuredOnTheWay([Values] bool adapters)
    {
        var options = Dpo("whole") with { EvalData = Pairs, EvalEvery = 2 };
        options = options with { Training = options.Training with { Lora = adapters ? new LoraOptions { Rank = 2, Alpha = 4 } : null } };
        DpoRun.Run(options, _backend, IRunLog.Silent, default);
        DpoRun.Run(options with { EvalData = null, EvalEvery = 0, Out = _folder.File("plain") }, _backend, IRunLog.Silent, default);
        Assert.That(Directory.EnumerateFiles(_folder.File("whole/model")).Select(File.ReadAllBytes), Is.EqualTo(Directory.EnumerateFiles(_folder.File("plain/model")).Select(File.ReadAllBytes)));
        var measured = Metrics("whole").Where(static m => m.ContainsKey("eval_kl")).ToArray();
        Assert.That(measured.Select(static m => m["step"]), Is.EqualTo(new[] { 0, 2, 4, 6, 8, Steps }));
        Assert.That(measured[0]["eval_kl"], Is.Zero, "policy and reference are one");
        Assert.That(measured.Skip(1).Select(static m => m["eval_kl"]), Has.All.GreaterThan(0));
        Assert.That(measured[^1]["eval_kl"], Is.GreaterThan(measured[1]["eval_kl"]));

        using var stop = new CancellationTokenSource();
        Assert.That(
            () => DpoRun.Run(options with { Out = _folder.File("parts") }, _backend, new StoppingLog(stop, 4), stop.Token), Throws.InstanceOf<OperationCanceledException>());
        Assert.That(Metrics("parts")[^1]["step"], Is.EqualTo(3));
        DpoRun.Run(options with { Out = _folder.File("parts"), Resume = true }, _backend, IRunLog.Silent, default);
        Assert.That(Metrics("parts").Select(static m => m.GetValueOrDefault("eval_kl")), Is.EqualTo(Metrics("whole").Select(static m => m.GetValueOrDefault("eval_kl"))));
    }

    /// <summary>Each measurement gives back what it takes: the weights at the start, read again, too.</summary>
    [Test]
    public void MeasuringTakesNoMemoryThatStays()
    {
        long Taken(int every)
        {
            var before = _backend.Memory.OutstandingBytes;
            DpoRun.Run(Dpo($"every {every}") with { EvalData = Pairs, EvalEvery = every }, _backend, IRunLog.Silent, default);
            return _backend.Memory.OutstandingBytes - before;
        }
        _ = Taken(4);
        Assert.That(Taken(1), Is.EqualTo(Taken(0)));
    }

    [Test]
    public void AnSftRunStoppedAndResumedIsTheOneThatNeverStopped()
    {
        SftRun.Run(Sft("whole"), _backend, IRunLog.Silent, default);
        using var stop = new CancellationTokenSource();
        Assert.That(
            () => SftRun.Run(Sft("parts"), _backend, new StoppingLog(stop, 5), stop.Token), Throws.InstanceOf<OperationCanceledException>());
        SftRun.Run(Sft("parts") with { Resume = true }, _backend, IRunLog.Silent, default);
        AssertSameRun("whole", "parts");
    }

    /// <summary>A crash leaves lines of steps after the last checkpoint, the last of them torn: they are made again.</summary>
    [Test]
    public void AfterACrashTheStepsSinceTheCheckpointAreMadeAgain()
    {
        DpoRun.Run(Dpo("whole"), _backend, IRunLog.Silent, default);
        using var stop = new CancellationTokenSource();
        Assert.That(
            () => DpoRun.Run(Dpo("parts"), _backend, new StoppingLog(stop, 4), stop.Token), Throws.InstanceOf<OperationCanceledException>());
        var lines = File.ReadAllLines(_folder.File("whole/metrics.jsonl"));
        File.WriteAllText(_folder.File("parts/metrics.jsonl"), string.Join('\n', lines[..6]) + "\n" + lines[6][..20]);
        DpoRun.Run(Dpo("parts") with { Resume = true }, _backend, IRunLog.Silent, default);
        AssertSameRun("whole", "parts");
    }

    [Test]
    public void ACheckpointOfAnotherRunIsRefused()
    {
        using var stop = new CancellationTokenSource();
        Assert.That(
            () => DpoRun.Run(Dpo("out"), _backend, new StoppingLog(stop, 2), stop.Token), Throws.InstanceOf<OperationCanceledException>());
        Assert.That(
            () => DpoRun.Run(Dpo("out"), _backend, IRunLog.Silent, default),
            Throws.InstanceOf<InputException>().With.Message.Contains("--resume"), "not asked to resume");

        var resume = Dpo("out") with { Resume = true };
        AssertRefused(resume with { Loss = new DpoLoss(0.2) });
        AssertRefused(resume with { Training = resume.Training with { LearningRate = 0.5 } });
        AssertRefused(resume with { Training = resume.Training with { Seed = 77 } });
        var other = _folder.File("other");
        ModelFile.Save(other, TinyModels.Create(_backend, TinyModels.Config(vocabulary: s_tokenizer.VocabSize), seed: 5), s_tokenizer);
        AssertRefused(resume with { TokenBudget = 100 });
        AssertRefused(resume with { Model = other });
        AssertRefused(resume with { Reference = other });
        File.AppendAllText(Pairs, """{"prompt": "x", "chosen": "y", "rejected": "z"}""");
        AssertRefused(resume);

        void AssertRefused(DpoRunOptions options) => Assert.That(
            () => DpoRun.Run(options, _backend, IRunLog.Silent, default), Throws.InstanceOf<InputException>().With.Message.Contains("belongs to a run"));
    }

    [Test]
    public void AnotherReferenceGivesRewardsFromTheFirstStep()
    {
        var other = _folder.File("other");
        ModelFile.Save(other, TinyModels.Create(_backend, TinyModels.Config(vocabulary: s_tokenizer.VocabSize), seed: 5), s_tokenizer);
        DpoRun.Run(Dpo("out") with { Reference = other }, _backend, IRunLog.Silent, default);
        Assert.That(Metrics("out")[0]["rewards/chosen"], Is.Not.Zero);
        ModelFile.Save(other, TinyModels.Create(_backend, TinyModels.Config(vocabulary: 300)), s_tokenizer);
        Assert.That(
            () => DpoRun.Run(Dpo("out2") with { Reference = other }, _backend, IRunLog.Silent, default),
            Throws.InstanceOf<InputException>().With.Message.Contains("vocab_size"));
    }

    /// <summary>A reference given by another path that holds the policy's weights is the policy: its first loss is ln 2 too.</summary>
    [Test]
    public void AnEqualReferenceMustGiveLn2AtTheFirstStep()
    {
        var (model, tokenizer) = ModelFile.Load(Model, _backend);
        ModelFile.Save(_folder.File("copy"), model, tokenizer);
        var cache = _folder.File("out/reference-logps.jsonl");
        ReferenceCache.LoadOrCompute(
            cache, model, ModelFile.Fingerprint(model), tokenizer, ReadData.Pairs(Pairs, s_tokenizer).Pairs, IRunLog.Silent);
        ReferenceCacheTests.Forge(cache, static rows => rows.Select(static _ => """{"Chosen":-5,"Rejected":-1}"""));
        Assert.That(
            () => DpoRun.Run(Dpo("out") with { Reference = _folder.File("copy") }, _backend, IRunLog.Silent, default),
            Throws.InstanceOf<TrainingException>().With.Message.Contains("step 0"));
    }

    [Test]
    public void MoreStepsThanCanBeCountedAreRefusedBeforeAnyWork()
    {
        var training = Dpo("").Training with { Epochs = int.MaxValue };
        var log = new StoppingLog();
        Assert.That(
            () => DpoRun.Run(Dpo("out") with { Training = training }, _backend, log, default),
            Throws.InstanceOf<InputException>().With.Message.Contains("--epochs"));
        Assert.That(
            () => SftRun.Run(Sft("out") with { Training = training }, _backend, log, default),
            Throws.InstanceOf<InputException>().With.Message.Contains("--epochs"));
        Assert.That((log.Advances.Count, Directory.Exists(_folder.File("out"))), Is.EqualTo((0, false)));
    }

    [Test]
    public void WhatAnEarlierRunLeftIsNotOverwritten()
    {
        DpoRun.Run(Dpo("out"), _backend, IRunLog.Silent, default);
        var (weights, metrics) = (Weights("out"), File.ReadAllText(_folder.File("out/metrics.jsonl")));
        AssertRefused(resume: false, "--resume");
        AssertRefused(resume: true, "finished");
        Assert.That((Weights("out"), File.ReadAllText(_folder.File("out/metrics.jsonl"))), Is.EqualTo((weights, metrics)));
        Directory.Delete(_folder.File("out/model"), recursive: true);
        AssertRefused(resume: false, "metrics.jsonl");

        void AssertRefused(bool resume, string because)
        {
            Assert.That(
                () => DpoRun.Run(Dpo("out") with { Resume = resume }, _backend, IRunLog.Silent, default),
                Throws.InstanceOf<InputException>().With.Message.Contains(because));
            Assert.That(
                () => SftRun.Run(Sft("out") with { Resume = resume }, _backend, IRunLog.Silent, default),
                Throws.InstanceOf<InputException>().With.Message.Contains(because));
        }
    }

    [Test]
    public void AModelWithoutFiniteLogProbsIsRefusedInOneLine()
    {
        var model = TinyModels.Create(_backend, TinyModels.Config(vocabulary: s_tokenizer.VocabSize));
        _backend.Fill(model.Weights["model.norm.weight"].Data, Real.NaN);
        ModelFile.Save(_folder.File("nan"), model, s_tokenizer);
        Assert.That(
            () => DpoRun.Run(Dpo("out") with { Model = _folder.File("nan") }, _backend, IRunLog.Silent, default),
            Throws.InstanceOf<InputException>().With.Message.Contains("nan").And.Message.Contains("model.norm.weight"));
#if !DOUBLE // the weights of a file, float32, do not overflow in double
        _backend.Fill(model.Weights["model.norm.weight"].Data, Real.MaxValue);
        ModelFile.Save(_folder.File("huge"), model, s_tokenizer);
        Assert.That(
            () => DpoRun.Run(Dpo("out2") with { Model = _folder.File("huge") }, _backend, IRunLog.Silent, default),
            Throws.InstanceOf<InputException>().With.Message.Contains("huge").And.Message.Contains("line 1"));
        Assert.That(
            () => SftRun.Run(Sft("out3") with { Model = _folder.File("huge") }, _backend, IRunLog.Silent, default),
            Throws.InstanceOf<TrainingException>().With.Message.Contains("step 0"));
#endif
    }

    /// <summary>The budget bounds the memory of every pass over the pairs, not of training alone.</summary>
    [Test]
    public void TheTokenBudgetHoldsForReferenceAndEvaluationToo()
    {
        var log = new StoppingLog();
        DpoRun.Run(Dpo("out") with { EvalData = Pairs, TokenBudget = 1 }, _backend, log, default);
        Assert.That(log.Advances["the reference's log-probs"], Is.EqualTo(12), "a pair at a time");
        Assert.That(log.Advances["held-out pairs"], Is.EqualTo(2 * 12), "before and after");
    }

    [Test]
    public void AnOutThatCannotBeAFolderIsRefused()
    {
        File.WriteAllText(_folder.File("file"), "");
        foreach (var place in new[] { "file", "file/below" })
        {
            Assert.That(() => DpoRun.Run(Dpo(place), _backend, IRunLog.Silent, default), Throws.InstanceOf<InputException>().With.Message.Contains("file"));
            Assert.That(() => SftRun.Run(Sft(place), _backend, IRunLog.Silent, default), Throws.InstanceOf<InputException>().With.Message.Contains("file"));
        }
    }

    private string Model => _folder.File("start");

    private string Pairs => _folder.File("pairs.jsonl");

    private string Texts => _folder.File("texts.jsonl");

    private DpoRunOptions Dpo(string name) => new()
    {
        Model = Model,
        Data = Pairs,
        Out = _folder.File(name),
        Training = new TrainingOptions { Epochs = 3, BatchSize = 4, LearningRate = 0.01, Seed = 6, WarmupSteps = 1 },
    };

    private SftRunOptions Sft(string name) => new() { Model = Model, Data = Texts, Out = _folder.File(name), Training = Dpo(name).Training };

    private byte[] Weights(string run) => File.ReadAllBytes(_folder.File($"{run}/model/model.safetensors"));

    private Dictionary<string, double>[] Metrics(string run) =>
        [.. File.ReadLines(_folder.File($"{run}/metrics.jsonl")).Select(static line => JsonSerializer.Deserialize<Dictionary<string, double>>(line)!)];

    private void AssertSameRun(string whole, string parts)
    {
        Assert.That(Weights(parts), Is.EqualTo(Weights(whole)));
        string[] Lines(string run) => [.. Metrics(run).Select(static m =>
            string.Join(' ', m.Where(static e => e.Key is not ("tokens/s" or "mfu")).Select(static e => $"{e.Key}={e.Value:R}")))];
        Assert.That(Lines(parts), Is.EqualTo(Lines(whole)));
    }

    /// <summary>Keeps the notes, and cancels after so many steps of training.</summary>
    private sealed class StoppingLog(CancellationTokenSource? stop = null, int after = 0) : IRunLog
    {
        private string _stage = "";

        public List<string> Notes { get; } = [];

        public Dictionary<string, int> Advances { get; } = [];

        public void Stage(string name, int total) => _stage = name;

        public void Advance(int done, string? detail = null)
        {
            Advances[_stage] = Advances.GetValueOrDefault(_stage) + 1;
            if (_stage == "training" && done == after)
            {
                stop?.Cancel();
            }
        }

        public void Note(string line) => Notes.Add(line);
    }
}
