using FsCheck;
using FsCheck.Fluent;
using TinyDpo.Kernels;

namespace TinyDpo.Tests;

public class TokenSamplerTests
{
    private static readonly Real[] s_logits = [(Real)0.5, -1, 2, (Real)0.5, (Real)1.25, -30, (Real)2.5, 0];

    /// <summary>
    /// Frequencies over evenly spaced uniform numbers: a token of probability p gets n p of n, but for two at the ends of its interval.
    /// </summary>
    [TestCase(1.0, 0, 1.0)]
    [TestCase(0.5, 0, 1.0)]
    [TestCase(3.0, 0, 1.0)]
    [TestCase(1.0, 3, 1.0)]
    [TestCase(0.7, 5, 1.0)]
    [TestCase(1.0, 100, 1.0)]
    [TestCase(1.0, 0, 0.9)]
    [TestCase(2.0, 0, 0.6)]
    [TestCase(1.0, 4, 0.8)]
    public void FrequenciesAreTheProbabilities(double temperature, int topK, double topP)
    {
        const int draws = 20_000;
        var options = new SamplingOptions(temperature, topK, topP);
        var counts = new int[s_logits.Length];
        for (var i = 0; i < draws; i++)
        {
            counts[TokenSampler.Draw(s_logits, options, (i + 0.5) / draws)]++;
        }
        var expected = Probabilities(s_logits, options);
        for (var token = 0; token < counts.Length; token++)
        {
            Assert.That(counts[token], Is.EqualTo(draws * expected[token]).Within(2), $"token {token}");
            Assert.That(counts[token] == 0, Is.EqualTo(expected[token] * draws < 0.5), $"whether token {token} may be drawn");
        }
    }

    [Test]
    public void AnyLogitsGiveTheDefinitionsProbabilities()
    {
        var cases =
            from logits in Gen.Choose(-40, 40).Select(static v => (Real)(v / 8.0)).NonEmptyListOf()
            from temperature in Gen.Elements(0.3, 1, 2)
            from topK in Gen.Choose(0, 6)
            from topP in Gen.Elements(0.05, 0.5, 0.95, 1)
            select (logits.ToArray(), new SamplingOptions(temperature, topK, topP));
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(200), Prop.ForAll(Arb.From(cases), c =>
        {
            const int draws = 500;
            var (logits, options) = c;
            var counts = new int[logits.Length];
            for (var i = 0; i < draws; i++)
            {
                counts[TokenSampler.Draw(logits, options, (i + 0.5) / draws)]++;
            }
            return counts.Zip(Probabilities(logits, options)).All(t => Math.Abs(t.First - (draws * t.Second)) <= 2);
        }));
    }

    [Test]
    public void TemperatureZeroTopOneAndATinyNucleusAreGreedy()
    {
        foreach (var uniform in new[] { 0, 0.3, 0.999999999 })
        {
            Assert.That(TokenSampler.Draw(s_logits, new SamplingOptions(Temperature: 0), uniform), Is.EqualTo(6));
            Assert.That(TokenSampler.Draw(s_logits, new SamplingOptions(TopK: 1), uniform), Is.EqualTo(6));
            Assert.That(TokenSampler.Draw(s_logits, new SamplingOptions(TopP: 1e-9), uniform), Is.EqualTo(6));
            Assert.That(TokenSampler.Draw(s_logits, new SamplingOptions(Temperature: 1e-6), uniform), Is.EqualTo(6));
        }
    }

    [Test]
    public void AmongEqualLogitsTheLowestIdComesFirst()
    {
        Real[] logits = [1, 3, 3, 2, 3];
        Assert.That(TokenSampler.Draw(logits, new SamplingOptions(Temperature: 0), 0.9), Is.EqualTo(1));
        Assert.That(TokenSampler.Draw(logits, new SamplingOptions(TopK: 1), 0.9), Is.EqualTo(1));
        Assert.That(TokenSampler.Draw(logits, new SamplingOptions(TopK: 2), 0.9), Is.EqualTo(2));
        Assert.That(TokenSampler.Draw(logits, new SamplingOptions(TopP: 1e-9), 0.9), Is.EqualTo(1));
    }

    [Test]
    public void LargeLogitsAndOneTokenAreNoTrouble()
    {
        Assert.That(TokenSampler.Draw([1000, 1000], new SamplingOptions(), 0.7), Is.EqualTo(1));
        Assert.That(TokenSampler.Draw([-1000, -2000], new SamplingOptions(), 0.999999), Is.EqualTo(0));
        Assert.That(TokenSampler.Draw([5], new SamplingOptions(TopK: 3, TopP: 0.5), 0.999999), Is.EqualTo(0));
        Assert.That(TokenSampler.Draw([0, Real.NegativeInfinity], new SamplingOptions(), Math.BitDecrement(1.0)), Is.EqualTo(0));
    }

    [Test]
    public void ALogitThatIsNotFiniteIsAnError(
        [Values(0, 6, 10)] int place, [Values(double.NaN, double.PositiveInfinity)] double bad, [Values(0.0, 1)] double temperature)
    {
        var logits = new Real[11];
        logits[place] = (Real)bad;
        Assert.That(() => TokenSampler.Draw(logits, new SamplingOptions(temperature), 0.5), Throws.TypeOf<NonFiniteException>());
        Array.Fill(logits, Real.NegativeInfinity);
        Assert.That(() => TokenSampler.Draw(logits, new SamplingOptions(temperature), 0.5), Throws.TypeOf<NonFiniteException>());
    }

    [Test]
    public void WhatIsFarBelowOrMaskedIsNeverDrawn()
    {
        var low = Real.NegativeInfinity;
        Real[] logits = [low, 0, -10_000, low, -20_000, 0, low, -3000, low, -1000, low];
        for (var i = 0; i < 1000; i++)
        {
            Assert.That(TokenSampler.Draw(logits, new SamplingOptions(), i / 1000.0), Is.EqualTo(i < 500 ? 1 : 5));
        }
    }

    /// <summary>The plain definition: sort (ties by id), keep K, keep the fewest whose probabilities first reach P, renormalise.</summary>
    private static double[] Probabilities(Real[] logits, SamplingOptions options)
    {
        var weights = logits.Select(z => Math.Exp((z - (double)logits.Max()) / options.Temperature)).ToArray();
        var order = Enumerable.Range(0, logits.Length).OrderByDescending(i => weights[i]).ThenBy(static i => i).ToList();
        if (options.TopK > 0)
        {
            order = [.. order.Take(options.TopK)];
        }
        if (options.TopP < 1)
        {
            var total = order.Sum(i => weights[i]);
            double sum = 0;
            var kept = 0;
            do
            {
                sum += weights[order[kept++]];
            }
            while (sum < options.TopP * total && kept < order.Count);
            order = [.. order.Take(kept)];
        }
        var whole = order.Sum(i => weights[i]);
        return [.. weights.Select((w, i) => order.Contains(i) ? w / whole : 0)];
    }
}
