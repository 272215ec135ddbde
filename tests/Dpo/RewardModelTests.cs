using System.Text.Json;
using TinyDpo.Cli;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

/// <summary>Scores, their losses, their evaluation, and the command that trains them.</summary>
internal sealed class RewardModelTests
{
    private CpuBackend _backend = null!;

    [SetUp]
    public void Open() => _backend = PoisonedBackend.Create(2);

    [TearDown]
    public void Close() => _backend.Dispose();

    /// <summary>Against the definition: a product of choices in proportion to exp(score), each among what is left.</summary>
    [TestCase(2)]
    [TestCase(3)]
    [TestCase(5)]
    public void TheLossIsThatOfPlackettAndLuce(int answers)
    {
        double[][] scores = [.. Enumerable.Range(0, answers).Select(static rank => TinyModels.Random(3, rank, 4).Select(static x => 6 * x).ToArray())];
        using var step = new StepScope(_backend, gradients: false);
        var loss = RankingLoss.PerRanking([.. scores.Select(s => Tensor.From(_backend, Shape.Vector(4), [.. s.Select(static x => (Real)x)]))]).ToArray();
        for (var i = 0; i < 4; i++)
        {
            double probability = 1;
            for (var k = 0; k < answers; k++)
            {
                probability *= Math.Exp(scores[k][i]) / scores[k..].Sum(s => Math.Exp(s[i]));
            }
            Assert.That(loss[i], Is.EqualTo(-Math.Log(probability)).Within(sizeof(Real) == 4 ? 1e-5 : 1e-12));
        }
    }

    [Test]
    public void AScoreDependsOnItsWholeCompletionAndOnNothingElse()
    {
        var model = Scorer();
        PromptGroup[] groups =
        [
            new([1, 2, 3], [[4, 5, 6], [4, 5, 7]]),
            new([1, 2, 3], [[4, 5, 6, 7], [7]]),
            new([9], [[4, 5, 6], [8, 8]]),
        ];
        var scores = RewardScores.Measure(model, groups);
        var all = scores.SelectMany(static s => s).ToArray();
        Assert.That(all, Is.Unique, "the last token counts, and so does the prompt");
        Assert.That(RewardScores.Measure(model, groups, tokenBudget: 1).SelectMany(static s => s), Is.EqualTo(all), "a group a batch");
        Assert.That(
            groups.SelectMany(static g => g.Completions.Select(c => new PromptGroup(g.Prompt, [c]))).SelectMany(g => RewardScores.Measure(model, [g])[0]),
            Is.EqualTo(all), "each alone");
    }

    /// <summary>The head's number at the end of the text, from a pass over the whole text as one prompt.</summary>
    [Test]
    public void AScoreIsTheHeadAtTheLastToken()
    {
        var model = Scorer();
        var score = RewardScores.Measure(model, [new PromptGroup([1, 2, 3], [[4, 5, 6]])])[0][0];
        using var step = new StepScope(_backend, gradients: false);
        var hidden = model.Hidden(PackedBatch.Pack(_backend, [new PromptGroup([1, 2, 3, 4, 5, 6], [[0]])])).ToArray();
        var weight = model.Weights[ScalarHead.WeightName].ToArray();
        var expected = hidden[^weight.Length..].Zip(weight, static (h, w) => (double)h * w).Sum();
        Assert.That(score, Is.EqualTo(expected).Within((sizeof(Real) == 4 ? 1e-5 : 1e-12) * weight.Length));
    }

    [Test]
    public void EveryParameterGetsAGradientOnceTheHeadIsNotZero()
    {
        var model = Scorer();
        var task = new RewardTask(model, RewardTask.Rankings(TinyModels.Pairs(6)), tokenBudget: 40);
        model.Weights.ClearGradients();
        task.Accumulate([0, 1, 2, 3, 4, 5]);
        foreach (var (name, gradient) in TinyModels.Gradients(model))
        {
            Assert.That(gradient, Has.All.Matches<Real>(Real.IsFinite).And.Some.Not.EqualTo((Real)0), name);
        }
    }

    [TestCase(2)]
    [TestCase(4)]
    public void ItLearnsRankingsFromEqualScores(int answers)
    {
        var model = TinyModels.Create(_backend).WithScalarHead();
        // What has more of token 1 is better.
        PromptGroup[] rankings =
        [
            .. Enumerable.Range(0, 24).Select(i => new PromptGroup(
                [2 + (i % 5)], [.. Enumerable.Range(0, answers).Select(rank => TinyModels.Tokens(7, i, 6, 20).Concat(Enumerable.Repeat(1, 4 - rank)).ToArray())])),
        ];
        var losses = new List<double>();
        var run = new TrainingRun(
            model, new RewardTask(model, rankings), new TrainingOptions { Epochs = 40, BatchSize = 8, LearningRate = 3e-3, Seed = 1 });
        run.Run(r => losses.Add(r["loss"]), RankingLoss.AtEqualScores(answers));
        Assert.That(losses[^1], Is.LessThan(0.3 * losses[0]));
        Assert.That(RewardScores.Measure(model, rankings).Count(static s => s[0] > s[^1]), Is.EqualTo(rankings.Length));
    }

    [Test]
    public void CalibrationIsTheDistanceOfConfidenceFromAccuracy()
    {
        var margin = Math.Log(3); // confidence 3/4
        Assert.That(RewardEvaluation.OfMargins([margin, margin, margin, -margin]).CalibrationError, Is.Zero.Within(1e-12));
        Assert.That(RewardEvaluation.OfMargins([margin, -margin]).CalibrationError, Is.EqualTo(0.25).Within(1e-12));
        var mixed = RewardEvaluation.OfMargins([margin, margin, 30, 0]);
        Assert.That(mixed.CalibrationError, Is.EqualTo(2 * 0.25 / 4).Within(1e-12), "three bins, the sure and the unsure pair at no distance");
        Assert.That(mixed.Accuracy.Estimate, Is.EqualTo(3.5 / 4));
        Assert.That(mixed.Loss, Is.EqualTo(((2 * Math.Log(4.0 / 3)) + Math.Log(2)) / 4).Within(1e-12));
        Assert.That(RewardEvaluation.OfMargins([-1000]).Loss, Is.EqualTo(1000));
    }

    [Test]
    public void TheCommandTrainsGoesOnAndWritesWhatIsNoPolicy()
    {
        using var folder = new TemporaryFolder();
        var (model, data, whole) = (TinyModelFolder.Save(folder.File("model")), folder.File("pairs.jsonl"), folder.File("run"));
        File.WriteAllLines(data, Enumerable.Range(0, 10).Select(static i =>
            $$"""{"prompt": "the film was", "chosen": " good{{new string('!', i)}}", "rejected": " bad{{new string('?', 7 * i % 10)}}"}"""));
        string[] command =
        [
            "reward-model", "--model", model, "--data", data, "--eval-data", data, "--out", whole, "--batch-size", "5", "--epochs", "8",
            "--learning-rate", "3e-3", "--checkpoint-every", "4",
        ];
        var line = CommandLineRun.Of(command).Succeeded().Lines.Single();
        Assert.That(line, Does.Contain("eval_loss").And.Contain("eval_rewards/accuracies").And.Contain("eval_calibration_error"));
        var metrics = File.ReadAllLines(Path.Combine(whole, "metrics.jsonl"));
        Assert.That(metrics, Has.Length.EqualTo(16 + 2));
        Assert.That(metrics[1], Does.Contain("\"loss\":0.693147").And.Contain("rewards/accuracies"));

        var (trained, tokenizer) = ModelFile.LoadRewardModel(Path.Combine(whole, "model"), _backend);
        var evaluation = RewardEvaluation.Measure(trained, ReadData.Pairs(data, tokenizer).Pairs);
        Assert.That(evaluation.Loss, Is.LessThan(0.9 * Math.Log(2)));
        Assert.That(line, Does.Contain(FormattableString.Invariant($"\"eval_rewards/accuracies\":{evaluation.Accuracy.Estimate}")));

        var prompts = folder.File("prompts.txt");
        File.WriteAllLines(prompts, ["the film was", "i liked"]);
        var reward = "model:" + Path.Combine(whole, "model");
        var samples = folder.File("samples.jsonl");
        CommandLineRun.Of(
            "eval", "--policy", model, "--reference", model, "--prompts", prompts, "--reward", reward, "--max-tokens", "6", "--samples", samples).Succeeded();
        var scored = JsonElement.Parse(File.ReadLines(samples).First());
        var (prompt, text) = (scored.GetProperty("prompt").GetString()!, scored.GetProperty("policy").GetString()!);
        var group = new PromptGroup(tokenizer.Encode(prompt), [[.. tokenizer.EncodeContinuation(text), tokenizer.EosId]]);
        Assert.That(scored.GetProperty("policy_reward").GetDouble(), Is.EqualTo(RewardScores.Measure(trained, [group])[0][0]));
        Assert.That(
            () => RewardSpec.Parse(reward, _backend).Score(new string('!', 100), "x"), Throws.InstanceOf<InputException>().With.Message.Contains("shorter"));
        Assert.That(() => RewardSpec.Parse("model:" + model, _backend), Throws.InstanceOf<InputException>().With.Message.Contains("reward-model"));

        var weights = File.ReadAllBytes(Path.Combine(whole, "model", "model.safetensors"));
        Directory.Delete(Path.Combine(whole, "model"), recursive: true);
        CommandLineRun.Of([.. command, "--resume"]).Succeeded();
        Assert.That(File.ReadAllBytes(Path.Combine(whole, "model", "model.safetensors")), Is.EqualTo(weights));
        CommandLineRun.Of("generate", "--model", Path.Combine(whole, "model"), "--prompt", "the").AssertFails(CommandLine.Failure, "reward model", "output head");
        Assert.That(() => ModelFile.LoadRewardModel(model, _backend), Throws.InstanceOf<InputException>().With.Message.Contains("reward-model"));
    }

    // A scalar head of numbers as large as the rest.
    private Transformer Scorer() => TinyModels.Create(_backend, TinyModels.Config(tied: false) with { ScalarHead = true });
}
