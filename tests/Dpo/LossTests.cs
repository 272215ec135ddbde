using TinyDpo.Dpo;
using TinyDpo.Kernels;

namespace TinyDpo.Tests;

/// <summary>Every loss, with every parameter, divergence and modifier, against its plain formula and that formula's slope.</summary>
public class LossTests
{
    // Of the value, or where that is small of the terms it is made of: 1 for losses, beta (at most 1) for derivatives.
    private static readonly double s_relative = sizeof(Real) == 4 ? 1e-5 : 1e-9;

    private CpuBackend _backend = null!;

    [SetUp]
    public void Open() => _backend = PoisonedBackend.Create();

    [TearDown]
    public void Close() => _backend.Dispose();

    [TestCaseSource(typeof(LossCase), nameof(LossCase.All))]
    public void ValuesAndDerivativesAreTheFormulas(LossCase c)
    {
        var actual = LossBatch.Margins.Evaluate(_backend, c.Loss);
        var expected = PlainLoss.Evaluate(c, LossBatch.Margins);
        AssertClose(actual.Loss, expected.Loss, s_relative, "loss");
        AssertClose(actual.ByChosen, expected.ByChosen, s_relative, "derivative by the chosen log-prob");
        AssertClose(actual.ByRejected, expected.ByRejected, s_relative, "derivative by the rejected log-prob");
    }

    /// <summary>The formula in double, a little to both sides of each log-prob: what the engine's backward pass must give.</summary>
    [TestCaseSource(typeof(LossCase), nameof(LossCase.All))]
    public void DerivativesAreTheSlopesOfTheLoss(LossCase c)
    {
        const double h = 1e-4;
        var batch = LossBatch.FewMargins;
        var (_, byChosen, byRejected) = batch.Evaluate(_backend, c.Loss);
        for (var i = 0; i < batch.Count; i++)
        {
            if (c.Text == "dpop" && batch.Chosen[i] == batch.ReferenceChosen[i])
            {
                continue; // a kink, as of relu
            }
            AssertSlope(byChosen[i], x => batch with { Chosen = Shifted(batch.Chosen, i, x) }, $"chosen log-prob of pair {i}");
            AssertSlope(byRejected[i], x => batch with { Rejected = Shifted(batch.Rejected, i, x) }, $"rejected log-prob of pair {i}");
        }

        void AssertSlope(double actual, Func<double, LossBatch> at, string what)
        {
            double Loss(double x) => PlainLoss.Evaluate(c, at(x)).Loss.Sum();
            var slope = ((8 * (Loss(h) - Loss(-h))) - (Loss(2 * h) - Loss(-2 * h))) / (12 * h);
            // Rounding of a sum of losses, over h.
            var rounding = 1e-15 * PlainLoss.Evaluate(c, batch).Loss.Sum(Math.Abs) / h;
            Assert.That(actual, Is.EqualTo(slope).Within(Math.Max(s_relative, 1e-7) * Math.Max(1, Math.Abs(slope)) + rounding), what);
        }

        static double[] Shifted(double[] values, int at, double by) => [.. values.Select((v, i) => i == at ? v + by : v)];
    }

    /// <summary>Thousands of nats to either side, of both completions or one: losses and derivatives stay finite.</summary>
    [TestCaseSource(typeof(LossCase), nameof(LossCase.All))]
    public void NoMarginGivesNaN(LossCase c)
    {
        var batch = LossBatch.FromRatios(
            [(-1e4, 1e4), (1e4, -1e4), (-1e4, 0), (0, 1e4), (-1e4, -1e4), (1e4, 1e4), (0, 0), (2e4, -1e4), (-1e4, 2e4)], offset: -2e4);
        Assert.That(batch.Chosen.Concat(batch.Rejected), Has.Exactly(2).Zero, "certain to the last token");
        var (loss, byChosen, byRejected) = batch.Evaluate(_backend, c.Loss);
        Assert.That(loss, Has.All.Matches<Real>(Real.IsFinite), "loss");
        Assert.That(byChosen, Has.All.Matches<Real>(Real.IsFinite), "derivative by the chosen log-prob");
        Assert.That(byRejected, Has.All.Matches<Real>(Real.IsFinite), "derivative by the rejected log-prob");
    }

    [TestCaseSource(typeof(LossCase), nameof(LossCase.All))]
    public void TheValueAtTheReferenceIsTheOneStated(LossCase c)
    {
        var loss = c.Loss;
        var equal = LossBatch.FromRatios([(0, 0), (0, 0), (0, 0)]);
        equal = equal with { MismatchedChosen = new double[3], MismatchedRejected = new double[3] };
        var (values, _, _) = equal.Evaluate(_backend, loss);
        if (loss.AtReference is { } stated)
        {
            Assert.That(values, Has.All.EqualTo(stated).Within((sizeof(Real) == 4 ? 4e-7 : 1e-14) * Math.Max(1, stated)));
        }
        Assert.That(loss.AtReference is null, Is.EqualTo(DependsOnThePair(c)));

        static bool DependsOnThePair(LossCase c) =>
            c.Settings.ReferenceFree || c.Settings.Weighted || c.Text.Contains("sft") || c.Settings.Numbers.ContainsKey(LossParameter.RpoAlpha)
            || c.Text is "simpo" or "alphapo" or "cpo" or "orpo" or "unlikelihood"
            || (c.Text is "ipo" or "sigmoid_norm" && c.Settings.Means != false && c.Settings.Divergence is "forward_kl" or "js" or "alpha"); // a score that is not 0, by length
    }

    /// <summary>Micro-batches know the batch that they are part of: a mean over tokens is that of the whole batch.</summary>
    [Test]
    public void AMeanOverTokensIsTheWholeBatchs()
    {
        using var step = new TinyDpo.Tensors.StepScope(_backend);
        PreferenceBatch Part(Real[] chosen, int[] lengths) => new(PairLogProbs.Of(_backend, chosen, chosen), PairLogProbs.Of(_backend, chosen, chosen))
        {
            Lengths = new PairLengths(lengths, lengths, lengths),
            Totals = new BatchTotals(3, 12, 9),
        };
        var loss = new SftLoss();
        var sum = loss.PerPair(Part([-8, -2], [5, 3])).Sum().Item() + loss.PerPair(Part([-14], [4])).Sum().Item();
        Assert.That(sum / 3, Is.EqualTo(24.0 / 12).Within(1e-6));
    }

    internal static void AssertClose(Real[] actual, double[] expected, double relative, string what)
    {
        Assert.That(actual, Has.Length.EqualTo(expected.Length), what);
        for (var i = 0; i < expected.Length; i++)
        {
            Assert.That((double)actual[i], Is.EqualTo(expected[i]).Within(relative * Math.Max(1, Math.Abs(expected[i]))), $"{what}, pair {i}");
        }
    }
}
