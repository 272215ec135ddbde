using FsCheck;
using FsCheck.Fluent;
using TinyDpo.Dpo;
using TinyDpo.Kernels;

namespace TinyDpo.Tests;

public class StatisticsTests
{
    [Test]
    public void MeanHasTheNormalInterval()
    {
        var interval = Statistics.Mean([1, 2, 3, 4]);
        var half = 1.959963984540054 * Math.Sqrt(5.0 / 3 / 4);
        Assert.That(interval.Estimate, Is.EqualTo(2.5));
        Assert.That(interval.Low, Is.EqualTo(2.5 - half).Within(1e-12));
        Assert.That(interval.High, Is.EqualTo(2.5 + half).Within(1e-12));
        Assert.That(interval.Count, Is.EqualTo(4));
        Assert.That(Statistics.Mean([7]), Is.EqualTo(new TinyDpo.Dpo.Interval(7, double.NegativeInfinity, double.PositiveInfinity, 1)));
    }

    /// <summary>Reference values worked out by hand from Wilson's formula at z^2 = 3.841459.</summary>
    [TestCase(0, 10, 0, 0.277533)]
    [TestCase(10, 10, 0.722467, 1)]
    [TestCase(5, 10, 0.236593, 0.763407)]
    [TestCase(81, 263, 0.255289, 0.366209)]
    public void ProportionHasWilsonsInterval(double successes, int count, double low, double high)
    {
        var interval = Statistics.Proportion(successes, count);
        Assert.That(interval.Low, Is.EqualTo(low).Within(1e-5));
        Assert.That(interval.High, Is.EqualTo(high).Within(1e-5));
    }

    [Test]
    public void TheIntervalHoldsItsEstimateAndStaysWithinZeroAndOne() =>
        Prop.ForAll<NonNegativeInt, NonNegativeInt>((wins, losses) =>
        {
            var interval = Statistics.Proportion(wins.Get, wins.Get + losses.Get + 1);
            return interval.Contains(interval.Estimate) && interval.Low >= 0 && interval.High <= 1 && interval.Low < interval.High;
        }).QuickCheckThrowOnFailure();

    [Test]
    public void ATieIsHalfAWin()
    {
        Assert.That(Statistics.WinRate([1, 2, 3, 4], [0, 2, 4, 4]).Estimate, Is.EqualTo(0.5));
        Assert.That(Statistics.WinRate([1, 2, 3, 4], [0, 2, 2, 4]), Is.EqualTo(Statistics.Proportion(3, 4)));
        Assert.That(Statistics.WinRate([1], [1]).Estimate, Is.EqualTo(0.5));
    }

    [Test]
    public void PairingNarrowsTheDifference()
    {
        double[] a = [1, 5, 9, 13], b = [0, 4, 7, 12];
        var paired = Statistics.PairedDifference(a, b);
        Assert.That(paired.Estimate, Is.EqualTo(1.25));
        Assert.That(paired.High - paired.Estimate, Is.EqualTo(1.959963984540054 * 0.5 / 2).Within(1e-12));
    }

    /// <summary>95 of 100 intervals hold the truth: 400 experiments of 40 observations each, within four standard errors.</summary>
    [Test]
    public void IntervalsCoverTheTruth()
    {
        const int experiments = 400, observations = 40;
        int means = 0, rates = 0;
        for (var e = 0; e < experiments; e++)
        {
            var x = Enumerable.Range(0, observations).Select(i => Philox.Normal(5, RandomPurpose.Test, 0, e, i)).ToArray();
            means += Statistics.Mean(x).Contains(0) ? 1 : 0;
            rates += Statistics.Proportion(x.Count(v => v > 0), observations).Contains(0.5) ? 1 : 0;
        }
        Assert.That(means / (double)experiments, Is.EqualTo(0.945).Within(0.045));
        Assert.That(rates / (double)experiments, Is.EqualTo(0.945).Within(0.045));
    }

    [Test]
    public void NothingIsNotEstimated()
    {
        Assert.That(() => Statistics.Mean([]), Throws.ArgumentException);
        Assert.That(() => Statistics.Proportion(0, 0), Throws.ArgumentException);
        Assert.That(() => Statistics.Proportion(3, 2), Throws.ArgumentException);
        Assert.That(() => Statistics.WinRate([1], [1, 2]), Throws.ArgumentException);
        Assert.That(() => Statistics.WinRate([double.NaN], [1]), Throws.ArgumentException);
        Assert.That(() => Statistics.PairedDifference([], []), Throws.ArgumentException);
    }

    /// <summary>0 and 2: mean 1, standard error 1, and Student's t of one degree of freedom; 30 are as good as many.</summary>
    [Test]
    public void FewObservationsHaveTheIntervalOfStudentsT()
    {
        var two = Statistics.MeanOfFew([0, 2]);
        Assert.That((two.Low, two.High), Is.EqualTo((1 - 12.706, 1 + 12.706)).Within(1e-9));
        var three = Statistics.MeanOfFew([1, 2, 3]);
        Assert.That(three.High - three.Estimate, Is.EqualTo(4.303 / Math.Sqrt(3)).Within(1e-9));
        double[] many = [.. Enumerable.Range(0, 30).Select(static i => (double)(i % 3))];
        Assert.That(Statistics.MeanOfFew(many), Is.EqualTo(Statistics.Mean(many)));
        Assert.That(Statistics.MeanOfFew([5]).High, Is.EqualTo(double.PositiveInfinity));
        Assert.That(Statistics.FromError(1, 0.5).High, Is.EqualTo(1 + (0.5 * 1.96)).Within(1e-4));
    }
}
