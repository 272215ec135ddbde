using System.Text.Json;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

/// <summary>
/// DPO on a real model against numbers computed in PyTorch in double precision; the same from a llama2.c file and from a Hugging Face
/// folder, whose rotary layouts differ.
/// </summary>
[TestFixture(false)]
[TestFixture(true)]
public class Stories260KDpoTests(bool huggingFace)
{
    private TemporaryFolder _folder = null!;
    private JsonDocument _json = null!;
    private CpuBackend _backend = null!;
    private Transformer _reference = null!;
    private Transformer _perturbed = null!;
    private PreferencePair[] _pairs = null!;

    [OneTimeSetUp]
    public void Load()
    {
        _folder = new TemporaryFolder();
        _backend = new CpuBackend(2);
        _json = JsonDocument.Parse(File.ReadAllText(Repository.Shared("data/oracle/stories260K_dpo.json")));
        _pairs = [.. Root.GetProperty("pairs").EnumerateArray().Select(static (p, i) =>
            new PreferencePair(i + 1, Ids(p, "prompt_ids"), Ids(p, "chosen_ids"), Ids(p, "rejected_ids")))];
        var perturbed = Repository.Shared("data/oracle/stories260K_perturbed.bin");
        if (huggingFace)
        {
            // The perturbed model exists as a llama2.c file alone: its folder is ours.
            var tokenizer = TokenizerFile.Load(Repository.Shared("data/weights/stories260K-hf"));
            ModelFile.Save(_folder.File("perturbed"), ModelFile.LoadWeights(perturbed, _backend), tokenizer);
            perturbed = _folder.File("perturbed");
        }
        _perturbed = ModelFile.LoadWeights(perturbed, _backend);
        _reference = ModelFile.LoadWeights(Repository.Shared(huggingFace ? "data/weights/stories260K-hf" : "data/weights/stories260K.bin"), _backend);
        Assert.That(_perturbed.Config.RotaryInterleaved, Is.Not.EqualTo(huggingFace));
    }

    [OneTimeTearDown]
    public void Free()
    {
        _json?.Dispose();
        _backend?.Dispose();
        _folder?.Dispose();
    }

    [Test]
    public void LogProbsOfSequencesMatch()
    {
        foreach (var (key, model) in new[] { ("policy_logps", _perturbed), ("reference_logps", _reference) })
        {
            var actual = ReferenceLogProbs.Compute(model, _pairs);
            AssertClose(actual.Chosen, Numbers(Root.GetProperty(key).GetProperty("chosen")), 1e-4, $"{key}, chosen");
            AssertClose(actual.Rejected, Numbers(Root.GetProperty(key).GetProperty("rejected")), 1e-4, $"{key}, rejected");
        }
    }

    [Test]
    public void LogProbsOfTokensMatch()
    {
        using var step = new StepScope(_backend, gradients: false);
        var actual = _perturbed.TokenLogProbs(PreferencePairs.Pack(_backend, _pairs)).ToArray();
        var expected = Root.GetProperty("per_token_policy_logps");
        AssertClose(
            actual,
            [.. new[] { "chosen", "rejected" }.SelectMany(key => expected.GetProperty(key).EnumerateArray()).SelectMany(Numbers)],
            1e-4, "tokens, all chosen before all rejected");
    }

    /// <summary>The variants that the file has, with rewards and accuracy.</summary>
    [Test]
    public void LossesRewardsAndAccuracyOfTheFilesVariantsMatch()
    {
        var variants = Root.GetProperty("variants").EnumerateArray()
            .Where(static v => v.GetProperty("loss_type").GetString() == "sigmoid" && !v.GetProperty("reference_free").GetBoolean()).ToArray();
        Assert.That(variants, Is.Not.Empty);
        foreach (var variant in variants)
        {
            var beta = variant.GetProperty("beta").GetDouble();
            var (perPair, result) = Losses(new DpoLoss(beta, variant.GetProperty("label_smoothing").GetDouble()));
            AssertClose(perPair, Numbers(variant.GetProperty("per_pair_loss")), 1e-5, "losses of pairs");
            Assert.That(result.Loss, Is.EqualTo(variant.GetProperty("mean_loss").GetDouble()).Within(1e-5));
            Assert.That(Metric(result, "rewards/chosen"), Is.EqualTo(Numbers(variant.GetProperty("chosen_rewards")).Average()).Within(1e-5));
            Assert.That(Metric(result, "rewards/rejected"), Is.EqualTo(Numbers(variant.GetProperty("rejected_rewards")).Average()).Within(1e-5));
            Assert.That(Metric(result, "rewards/accuracies"), Is.EqualTo(variant.GetProperty("accuracy").GetDouble()));
        }
    }

    /// <summary>Those that it has not, from its log-probs by the formula.</summary>
    [TestCase(0.1, 0.1)]
    [TestCase(0.5, 0)]
    [TestCase(0.5, 0.1)]
    public void LossesOfOtherVariantsFollowFromTheFilesLogProbs(double beta, double smoothing)
    {
        double[] Of(string model, string side) => Numbers(Root.GetProperty(model).GetProperty(side));
        var (chosen, rejected) = (Of("policy_logps", "chosen"), Of("policy_logps", "rejected"));
        var (referenceChosen, referenceRejected) = (Of("reference_logps", "chosen"), Of("reference_logps", "rejected"));
        double[] expected = [.. chosen.Select((c, i) =>
        {
            var margin = beta * (c - referenceChosen[i] - (rejected[i] - referenceRejected[i]));
            return ((1 - smoothing) * Math.Log(1 + Math.Exp(-margin))) + (smoothing * Math.Log(1 + Math.Exp(margin)));
        })];
        var (perPair, result) = Losses(new DpoLoss(beta, smoothing));
        AssertClose(perPair, expected, 1e-4 * beta, "losses of pairs, from log-probs good to 1e-4");
        Assert.That(result.Loss, Is.EqualTo(expected.Average()).Within(1e-5));
    }

    [Test]
    public void TheGradientsNormMatches()
    {
        var expected = Root.GetProperty("gradient");
        _perturbed.Weights.ClearGradients();
        var (_, result) = Losses(new DpoLoss(0.1));
        Assert.That(result.Loss, Is.EqualTo(expected.GetProperty("loss").GetDouble()).Within(1e-5));
        var norm = expected.GetProperty("global_l2_norm").GetDouble();
        Assert.That(_perturbed.Weights.GradientNorm(), Is.EqualTo(norm).Within(1e-4 * norm));
    }

    [Test]
    public void TwentyStepsOfGradientDescentFollowTheFile()
    {
        var run = Root.GetProperty("training_trajectories").EnumerateArray().Single(static t => t.GetProperty("name").GetString() == "dpo_sgd");
        var policy = _reference.Clone();
        var task = new DpoTask(policy, _pairs, ReferenceLogProbs.Compute(_reference, _pairs), new DpoLoss(0.1));
        var optimiser = new Sgd(policy.Weights);
        foreach (var expected in run.GetProperty("trajectory_float64").EnumerateArray())
        {
            var what = $"step {expected.GetProperty("step").GetInt32()}";
            policy.Weights.ClearGradients();
            var result = task.Accumulate([0, 1, 2, 3]);
            var norm = policy.Weights.GradientNorm();
            Assert.That(result.Loss, Is.EqualTo(expected.GetProperty("loss").GetDouble()).Within(1e-5), what);
            // Rewards grow to some units, and one is a sum over up to 30 tokens: float's error is larger than the loss's.
            Assert.That(Metric(result, "rewards/margins"), Is.EqualTo(expected.GetProperty("mean_margin").GetDouble()).Within(5e-5), what);
            Assert.That(Metric(result, "rewards/chosen"), Is.EqualTo(expected.GetProperty("mean_chosen_reward").GetDouble()).Within(5e-5), what);
            Assert.That(Metric(result, "rewards/rejected"), Is.EqualTo(expected.GetProperty("mean_rejected_reward").GetDouble()).Within(5e-5), what);
            Assert.That(Metric(result, "rewards/accuracies"), Is.EqualTo(expected.GetProperty("accuracy").GetDouble()), what);
            if (expected.TryGetProperty("grad_norm", out var gradient))
            {
                Assert.That(norm, Is.EqualTo(gradient.GetDouble()).Within(1e-3 * gradient.GetDouble()), what);
                optimiser.Step(0.01);
            }
        }
        var change = TinyModels.Weights(policy).Zip(TinyModels.Weights(_reference), static (a, b) => ((double)a - b) * ((double)a - b)).Sum();
        Assert.That(Math.Sqrt(change), Is.EqualTo(run.GetProperty("final_param_l2_change").GetDouble()).Within(1e-5));
    }

    private (Real[] PerPair, BatchResult Result) Losses(DpoLoss loss)
    {
        var reference = ReferenceLogProbs.Compute(_reference, _pairs);
        using var step = new StepScope(_backend);
        var perPair = loss.PerPair(
            PairLogProbs.Of(_perturbed, PreferencePairs.Pack(_backend, _pairs)),
            PairLogProbs.Of(_backend, reference.Chosen, reference.Rejected)).ToArray();
        return (perPair, new DpoTask(_perturbed, _pairs, reference, loss).Accumulate([0, 1, 2, 3]));
    }

    private JsonElement Root => _json.RootElement;

    private static double Metric(BatchResult result, string name) => result.Metrics.Single(m => m.Name == name).Value;

    private static double[] Numbers(JsonElement array) => [.. array.EnumerateArray().Select(static v => v.GetDouble())];

    private static int[] Ids(JsonElement pair, string key) => [.. pair.GetProperty(key).EnumerateArray().Select(static id => id.GetInt32())];

    private static void AssertClose(Real[] actual, double[] expected, double tolerance, string what)
    {
        Assert.That(actual, Has.Length.EqualTo(expected.Length), what);
        Assert.That(actual.Zip(expected, static (a, b) => Math.Abs(a - b)).Max(), Is.LessThan(tolerance), what);
    }
}
