using System.Text.Json;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>The parts of a pair's gradient: they sum to the whole, and predict what a step does.</summary>
public class PairExplainerTests
{
    private const double Beta = 0.1;

    private static readonly bool s_double = typeof(Real) == typeof(double);

    [Test]
    public void TheWeightedPartsAreTheLossesGradient([Values(0, 1, 2)] int which, [Values] bool withoutWeight)
    {
        using var backend = new CpuBackend(1);
        var (policy, reference) = (TinyModels.Create(backend), TinyModels.Create(backend, seed: 2));
        var pair = TinyModels.Pairs(3)[which];
        IPreferenceLoss loss = withoutWeight ? new UnweightedDpoLoss(Beta) : new DpoLoss(Beta);
        var explanation = Explainer(policy, reference, 1e-3, loss).Explain(pair, tokens: true);

        var chosen = Sum(policy, reference, pair, 0, pair.Chosen.Length);
        var rejected = Sum(policy, reference, pair, pair.Chosen.Length, pair.Rejected.Length);
        policy.Weights.ClearGradients();
        new DpoTask(policy, [pair], ReferenceLogProbs.Compute(reference, [pair]), loss).Accumulate([0]);
        Real[] whole = Flat(policy);
        Real[] parts = [.. chosen.Zip(rejected, (w, l) => (Real)(explanation.Weight * (l - w)))];
        Assert.That(TinyModels.RelativeDistance(parts, whole), Is.LessThan(1e-6), "tokens' gradients sum to those of sequences, and these to the loss's");
        Assert.That(explanation.ChosenGradientNorm, Is.EqualTo(Norm(chosen)).Within(1e-6 * Norm(chosen)));
        Assert.That(explanation.RejectedGradientNorm, Is.EqualTo(Norm(rejected)).Within(1e-6 * Norm(rejected)));
        Assert.That(
            explanation.Cosine, Is.EqualTo(chosen.Zip(rejected, static (w, l) => w * l).Sum() / (Norm(chosen) * Norm(rejected))).Within(1e-6));
        Assert.That(explanation.GradientNorm, Is.EqualTo(Norm([.. whole.Select(static v => (double)v)])).Within(1e-6 * explanation.GradientNorm));
        Assert.That(explanation.Tokens!.Sum(static t => t.Share), Is.EqualTo(1).Within(1e-6));
        var expected = withoutWeight ? Beta / 2 : Beta / (1 + Math.Exp(explanation.Score.Margin));
        Assert.That(explanation.Weight, Is.EqualTo(expected).Within(1e-12), "1/2 for sigma(-margin)");
    }

    /// <summary>In float a log-prob of some tens has steps of 4e-6, so that a change of 1e-2 is known to a part in a thousand, one of 1e-4 is not.</summary>
    [Test]
    public void FirstOrderPredictsBothLogProbsOfAPretrainedModel([Range(0, 3)] int which)
    {
        using var backend = new CpuBackend(2);
        var (policy, reference, pairs) = Stories260K(backend);
        var pair = pairs[which];
        var (move, tolerance) = s_double ? (1e-4, 1e-3) : (1e-2, 5e-2);

        var slope = Explainer(policy, reference, 1e-3).Explain(pair, tokens: false);
        var rate = 1e-3 * move / Math.Max(Math.Abs(slope.PredictedChosen), Math.Abs(slope.PredictedRejected));
        var actual = Explainer(policy, reference, rate).Explain(pair, tokens: false);
        Assert.That(actual.MeasuredChosen, Is.EqualTo(actual.PredictedChosen).Within(tolerance * Math.Abs(actual.PredictedChosen)), "chosen");
        Assert.That(actual.MeasuredRejected, Is.EqualTo(actual.PredictedRejected).Within(tolerance * Math.Abs(actual.PredictedRejected)), "rejected");
    }

    /// <summary>At the rates that are used: of the larger change at most 2 % in float, where the smaller may be all rounding, 0.2 % in double.</summary>
    [TestCase(OptimiserKind.Sgd, 1e-5)]
    [TestCase(OptimiserKind.AdamW, 1e-6)]
    public void FirstOrderHoldsAtTheRatesInUse(OptimiserKind optimiser, double rate)
    {
        using var backend = new CpuBackend(2);
        var (policy, reference, pairs) = Stories260K(backend);
        var explainer = Explainer(policy, reference, s_double ? 1e-6 : rate, optimiser: optimiser);
        foreach (var pair in pairs)
        {
            var e = explainer.Explain(pair, tokens: false);
            var tolerance = (s_double ? 2e-3 : 2e-2) * Math.Max(Math.Abs(e.MeasuredChosen), Math.Abs(e.MeasuredRejected));
            Assert.That(e.MeasuredChosen, Is.EqualTo(e.PredictedChosen).Within(tolerance), $"chosen of pair {pair.Line}");
            Assert.That(e.MeasuredRejected, Is.EqualTo(e.PredictedRejected).Within(tolerance), $"rejected of pair {pair.Line}");
        }
    }

    /// <summary>A loss within another is not taken for DPO.</summary>
    [Test]
    public void TheWeightOfAnotherLossIsItsDerivative()
    {
        using var backend = new CpuBackend(1);
        var (policy, reference, pair) = (TinyModels.Create(backend, seed: 3), TinyModels.Create(backend, seed: 4), TinyModels.Pairs(1)[0]);
        IPreferenceLoss[] losses =
        {
            LossCatalog.Create("sigmoid", new LossSettings { ReferenceFree = true }), LossCatalog.Create("sigmoid:2", new LossSettings { WithoutWeight = true }),
            new DpoLoss(Beta, LabelSmoothing: 0.4), LossCatalog.Create("ipo", new LossSettings()),
        };
        foreach (var loss in losses)
        {
            var e = Explainer(policy, reference, 1e-3, loss).Explain(pair, tokens: false);
            Assert.That(e.Weight, Is.EqualTo(-e.Score.LossByChosenLogProb), $"{loss}");
        }
    }

    [Test]
    public void APlainStepMovesByTheFormulaAndLeavesTheWeights()
    {
        using var backend = new CpuBackend(1);
        var (policy, reference) = (TinyModels.Create(backend), TinyModels.Create(backend, seed: 2));
        var before = TinyModels.Weights(policy);
        const double Rate = 1e-2;
        var e = Explainer(policy, reference, Rate).Explain(TinyModels.Pairs(1)[0], tokens: false);
        var dot = e.Cosine!.Value * e.ChosenGradientNorm * e.RejectedGradientNorm;
        // Rounding of the weights, half an ulp each, is all that parts the step from rate times gradient.
        var tolerance = s_double ? 1e-12 : 1e-4;
        var (chosen, rejected) = (e.ChosenGradientNorm * e.ChosenGradientNorm, e.RejectedGradientNorm * e.RejectedGradientNorm);
        Assert.That(e.PredictedChosen, Is.EqualTo(Rate * e.Weight * (chosen - dot)).Within(tolerance * Rate * e.Weight * chosen));
        Assert.That(e.PredictedRejected, Is.EqualTo(Rate * e.Weight * (dot - rejected)).Within(tolerance * Rate * e.Weight * rejected));
        Assert.That(TinyModels.Weights(policy), Is.EqualTo(before));
    }

    [Test]
    public void TheSummarySaysWhichPairsCarryTheGradient()
    {
        PairExplanation[] pairs = [.. new double[] { 1, 5, 0, 4 }.Select(static (norm, i) => Pair(norm, i - 1, i - 2))];
        Assert.That(ExplanationSummary.Of(pairs), Is.EqualTo(new ExplanationSummary(4, 0.5, 1, 1, 2)));
        Assert.That(ExplanationSummary.Of([Pair(0, 0, 0)]), Is.EqualTo(new ExplanationSummary(1, null, 0, 0, 0)));

        static PairExplanation Pair(double norm, double predicted, double measured) =>
            new(1, new PairScore(0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0, 0, 0, null, norm, predicted, 0, measured, 0, null);
    }

    [TestCase("kto")]
    [TestCase("aot")]
    public void LossesOfMoreThanThePairAreRefused(string loss) =>
        Assert.That(() => PairExplainer.Require(LossCatalog.Create(loss, new())), Throws.TypeOf<LossException>().With.Message.Contains("--loss"));

    private static PairExplainer Explainer(
        Transformer policy, Transformer reference, double rate, IPreferenceLoss? loss = null, OptimiserKind optimiser = OptimiserKind.Sgd) =>
        new(policy, reference, loss ?? new DpoLoss(Beta), new TrainingOptions { Optimiser = optimiser, LearningRate = rate });

    private static (Transformer Policy, Transformer Reference, PreferencePair[] Pairs) Stories260K(CpuBackend backend)
    {
        var policy = ModelFile.LoadWeights(Repository.Shared("data/oracle/stories260K_perturbed.bin"), backend);
        var reference = ModelFile.LoadWeights(Repository.Shared("data/weights/stories260K.bin"), backend);
        using var oracle = JsonDocument.Parse(File.ReadAllText(Repository.Shared("data/oracle/stories260K_dpo.json")));
        var pairs = oracle.RootElement.GetProperty("pairs").EnumerateArray()
            .Select(static (pair, i) => new PreferencePair(i + 1, Ids(pair, "prompt_ids"), Ids(pair, "chosen_ids"), Ids(pair, "rejected_ids")));
        return (policy, reference, [.. pairs]);

        static int[] Ids(JsonElement pair, string key) => [.. pair.GetProperty(key).EnumerateArray().Select(static id => id.GetInt32())];
    }

    // The sum of the gradients of the tokens [from, from + count).
    private static double[] Sum(Transformer policy, Transformer reference, PreferencePair pair, int from, int count)
    {
        var explainer = Explainer(policy, reference, 1e-3);
        var all = pair.Chosen.Length + pair.Rejected.Length;
        return Enumerable.Range(from, count).Select(t => explainer.TokenGradient(pair, t, all))
            .Aggregate(static (a, b) => [.. a.Zip(b, static (x, y) => x + y)]);
    }

    private static Real[] Flat(Transformer model)
    {
        var values = new Real[model.Weights.Gradients.Length];
        model.Backend.Download(model.Weights.Gradients, values);
        return values;
    }

    private static double Norm(double[] a) => Math.Sqrt(a.Sum(static v => v * v));
}
