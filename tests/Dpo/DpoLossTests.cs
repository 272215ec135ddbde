using FsCheck;
using FsCheck.Fluent;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

public class DpoLossTests
{
    private static readonly double s_relative = sizeof(Real) == 4 ? 2e-6 : 1e-12;

    private CpuBackend _backend = null!;

    [SetUp]
    public void Open() => _backend = PoisonedBackend.Create();

    [TearDown]
    public void Close() => _backend.Dispose();

    [Test]
    public void ValuesByHand()
    {
        // Margins of the log-ratios: 2 - (-1) = 3, and 0.5 - 4 = -3.5.
        var (loss, _, _) = Evaluate(new DpoLoss(0.5), [-10, -20], [-30, -40], [-12, -20.5], [-29, -44]);
        Assert.That(loss[0], Is.EqualTo(Math.Log(1 + Math.Exp(-1.5))).Within(1e-6));
        Assert.That(loss[1], Is.EqualTo(Math.Log(1 + Math.Exp(1.75))).Within(1e-6));
        (loss, _, _) = Evaluate(new DpoLoss(0.5, LabelSmoothing: 0.2), [-10, -20], [-30, -40], [-12, -20.5], [-29, -44]);
        Assert.That(loss[0], Is.EqualTo((0.8 * Math.Log(1 + Math.Exp(-1.5))) + (0.2 * Math.Log(1 + Math.Exp(1.5)))).Within(1e-6));
        using var step = new StepScope(_backend);
        var pair = PairLogProbs.Of(_backend, [-10, -20], [-30, -40]);
        Assert.That(new DpoLoss().Mean(pair, pair).Item(), Is.EqualTo(Math.Log(2)).Within(1e-7));
        Assert.That(new DpoLoss(3, 0.4).Mean(pair, pair).Item(), Is.EqualTo(DpoLoss.AtReference).Within(2e-7));
    }

    /// <summary>Neither log(0) nor infinity times 0, in the loss or its derivative, at margins of thousands of nats.</summary>
    [TestCase(1e4)]
    [TestCase(-1e4)]
    public void NoMarginGivesNaN(double margin)
    {
        foreach (var smoothing in new[] { 0, 0.1 })
        {
            var (loss, dChosen, dRejected) = Evaluate(new DpoLoss(1, smoothing), [margin], [0], [0], [0]);
            var expected = ((1 - smoothing) * Math.Max(0, -margin)) + (smoothing * Math.Max(0, margin));
            Assert.That(loss[0], Is.EqualTo(expected).Within(1e-6 * Math.Abs(margin)));
            Assert.That(dChosen[0], Is.EqualTo(margin > 0 ? smoothing : smoothing - 1).Within(1e-6));
            Assert.That(dRejected[0], Is.EqualTo(-dChosen[0]));
        }
    }

    /// <summary>
    /// d loss / d log pi(y_w) = -beta sigma(-margin), the paper's weight, with the opposite sign for y_l; and both by finite differences.
    /// </summary>
    [Test]
    public void TheDerivativeIsThePapersWeightAndTheSlope()
    {
        var number = Gen.Choose(-4000, 0).Select(static n => n / 128.0);
        var cases =
            from chosen in number
            from rejected in number
            from referenceChosen in number
            from referenceRejected in number
            from beta in Gen.Elements(0.05, 0.1, 0.5, 1)
            from smoothing in Gen.Elements(0, 0.1, 0.3)
            select (chosen, rejected, referenceChosen, referenceRejected, loss: new DpoLoss(beta, smoothing));
        Check.One(Config.QuickThrowOnFailure, Prop.ForAll(Arb.From(cases), c =>
        {
            var (_, dChosen, dRejected) = Evaluate(c.loss, [c.chosen], [c.rejected], [c.referenceChosen], [c.referenceRejected]);
            double Margin(double chosen) => c.loss.Beta * (chosen - c.referenceChosen - (c.rejected - c.referenceRejected));
            double Loss(double chosen) =>
                ((1 - c.loss.LabelSmoothing) * Softplus(-Margin(chosen))) + (c.loss.LabelSmoothing * Softplus(Margin(chosen)));
            var weight = c.loss.Beta * (c.loss.LabelSmoothing - (1 / (1 + Math.Exp(Margin(c.chosen)))));
            const double h = 1e-3;
            var slope = ((8 * (Loss(c.chosen + h) - Loss(c.chosen - h))) - (Loss(c.chosen + (2 * h)) - Loss(c.chosen - (2 * h)))) / (12 * h);
            Assert.That(dChosen[0], Is.EqualTo(weight).Within(s_relative * c.loss.Beta));
            Assert.That(dChosen[0], Is.EqualTo(slope).Within((s_relative + 1e-9) * Math.Max(1, c.loss.Beta)));
            Assert.That(dRejected[0], Is.EqualTo(-dChosen[0]));
        }));
    }

    [Test]
    public void TheReferenceGetsNoGradient()
    {
        using var step = new StepScope(_backend);
        var policy = PairLogProbs.Of(_backend, [-1], [-2], requiresGrad: true);
        var reference = PairLogProbs.Of(_backend, [-3], [-4]);
        new DpoLoss().Mean(policy, reference).Backward();
        Assert.That(policy.Chosen.Grad, Is.Not.Null);
        Assert.That(reference.Chosen.Grad, Is.Null);
    }

    [Test]
    public void MetricsByHand()
    {
        var metrics = new PreferenceMetrics(0.5);
        metrics.Add([-10, -20], [-30, -40], [-12, -20], [-29, -40]); // rewards 1 and -0.5; then 0 and 0, a tie
        metrics.Add([-5], [-6], [-4], [-8]); // rewards -0.5 and 1
        Assert.That(metrics.Pairs, Is.EqualTo(3));
        Assert.That(metrics.Accuracy, Is.EqualTo(1.0 / 3).Within(1e-15));
        var means = metrics.Means().ToDictionary(static m => m.Name, static m => m.Value);
        Assert.That(means["rewards/chosen"], Is.EqualTo(0.5 / 3).Within(1e-15));
        Assert.That(means["rewards/rejected"], Is.EqualTo(0.5 / 3).Within(1e-15));
        Assert.That(means["rewards/margins"], Is.EqualTo(0).Within(1e-15));
        Assert.That(means["rewards/accuracies"], Is.EqualTo(1.0 / 3).Within(1e-15));
        Assert.That(means["logps/chosen"], Is.EqualTo(-35.0 / 3).Within(1e-14));
        Assert.That(means["logps/rejected"], Is.EqualTo(-76.0 / 3).Within(1e-14));
    }

    private static double Softplus(double x) => Math.Max(x, 0) + Math.Log(1 + Math.Exp(-Math.Abs(x)));

    /// <summary>Losses of pairs, and the derivatives of their sum by the policy's log-probs.</summary>
    private (Real[] Loss, Real[] DChosen, Real[] DRejected) Evaluate(
        DpoLoss loss, double[] chosen, double[] rejected, double[] referenceChosen, double[] referenceRejected)
    {
        using var step = new StepScope(_backend);
        var policy = PairLogProbs.Of(_backend, Real(chosen), Real(rejected), requiresGrad: true);
        var perPair = loss.PerPair(policy, PairLogProbs.Of(_backend, Real(referenceChosen), Real(referenceRejected)));
        var values = perPair.ToArray();
        perPair.Sum().Backward();
        return (values, policy.Chosen.GradToArray(), policy.Rejected.GradToArray());
    }

    private static Real[] Real(double[] values) => Array.ConvertAll(values, static v => (Real)v);
}
