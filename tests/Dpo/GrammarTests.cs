using TinyDpo.Dpo;
using TinyDpo.Kernels;

namespace TinyDpo.Tests;

public class GrammarTests
{
    private static readonly Grammar Small = new("S = 3: A+ . | the END", "A* = a | b~ , a", "b+ = plus", "b- = minus", "END = end");

    [Test]
    public void ProbabilitiesSumOverDerivations()
    {
        var ambiguous = new Grammar("S = A A | 3: x", "A = x | 3: x x");
        Assert.That(ambiguous.Probability("S", ["x"]), Is.EqualTo(0.75).Within(1e-15));
        Assert.That(ambiguous.Probability("S", ["x", "x"]), Is.EqualTo(0.25 / 16).Within(1e-15));
        Assert.That(ambiguous.Probability("S", ["x", "x", "x"]), Is.EqualTo(0.25 * 6 / 16).Within(1e-15));
        Assert.That(ambiguous.Probability("S", []), Is.Zero);
        Assert.That(ambiguous.Accepts("S", ["x", "x", "x", "x", "x"]), Is.False);
    }

    [Test]
    public void AStarStandsForBothPolarities()
    {
        Assert.That(Small.Accepts("S", ["minus", ",", "a", "."]));
        Assert.That(Small.Accepts("S", ["plus", ",", "a", "."]), Is.False);
        Assert.That(Small.Lengths("S"), Is.EqualTo((1, 2)));
        Assert.That(Small.Count("S"), Is.EqualTo(3));
    }

    /// <summary>The recogniser's probabilities are the sampler's frequencies, and the exact figures their averages.</summary>
    [Test]
    public void SamplesFollowTheProbabilities()
    {
        const int count = 20_000;
        var samples = Enumerable.Range(0, count).Select(i =>
        {
            var position = 0;
            return Small.Sample("S", () => Philox.Uniform(1, RandomPurpose.Test, 0, i, position++));
        }).ToArray();
        foreach (var group in samples.GroupBy(s => string.Join(' ', s)))
        {
            Assert.That(group.Count() / (double)count, Is.EqualTo(Small.Probability("S", group.First())).Within(0.015), group.Key);
        }
        Assert.That(samples.Average(s => -Math.Log(Small.Probability("S", s))), Is.EqualTo(Small.Entropy("S")).Within(0.02));
        Assert.That(samples.Average(s => s.Count(w => w is not ("." or ","))), Is.EqualTo(Small.MeanLength("S")).Within(0.02));
    }

    [TestCase("S = MISSING")]
    [TestCase("S = a S")]
    [TestCase("S = a | ")]
    [TestCase("S a")]
    public void UnsoundRulesAreRefused(string rule) => Assert.That(() => new Grammar(rule), Throws.ArgumentException);

    [Test]
    public void ARuleIsDefinedOnce() => Assert.That(() => new Grammar("S = a", "S = b"), Throws.ArgumentException);
}
