using TinyDpo.Dpo;

namespace TinyDpo.Tests;

/// <summary>What the claims are computed with, by hand and by brute force.</summary>
public class TheoryPartsTests
{
    [TestCase(4, 2, 13)]
    [TestCase(4, 4, 121)]
    [TestCase(4, 5, 364)]
    [TestCase(6, 4, 781)]
    [TestCase(5, 5, 1365)]
    public void SequencesAreCounted(int vocabulary, int length, int count)
    {
        Assert.That(TheoryWorld.CountSequences(vocabulary, length), Is.EqualTo(count));
        var options = new TheoryOptions { Vocabulary = vocabulary, Length = length };
        if (count > TheoryWorld.MostSequences)
        {
            Assert.That(() => new TheoryWorld(options), Throws.ArgumentException.With.Message.Contains($"{count}"));
            return;
        }
        var sequences = new TheoryWorld(options).Sequences;
        Assert.That(sequences, Has.Count.EqualTo(count));
        Assert.That(sequences.Select(static s => string.Join(' ', s)), Is.Unique);
        // The last token ends a sequence and stands nowhere else; one without it is as long as any.
        Assert.That(sequences.All(s => s[..^1].All(t => t < vocabulary - 1) && (s[^1] == vocabulary - 1 || s.Length == length)));
    }

    [Test]
    public void WorldsDependOnTheirSeedAlone()
    {
        double[] Numbers(ulong seed) => [.. new TheoryWorld(new TheoryOptions { Seed = seed }).Prompts.SelectMany(static x => x.Reference.Concat(x.Reward))];
        Assert.That(Numbers(1), Is.EqualTo(Numbers(1)));
        Assert.That(Numbers(1), Is.Not.EqualTo(Numbers(2)));
    }

    [Test]
    public void TheLossByHand()
    {
        var loss = new TheoryDpoLoss(0.5);
        Assert.That(loss.Rewards([-1, -2], [-3, -1], [4, 2]), Is.EqualTo(new[] { 1, -0.5 }));
        foreach (var margin in new[] { -3, -0.5, 0.25, 0.5, 3 })
        {
            var (value, slope, curvature) = loss.At(margin);
            Assert.That(value, Is.EqualTo(Math.Log(1 + Math.Exp(-margin))).Within(1e-15));
            Assert.That(slope, Is.EqualTo(TheoryCase.Slope(h => loss.At(margin + h).Value)).Within(1e-11));
            Assert.That(curvature, Is.EqualTo(TheoryCase.Slope(h => loss.At(margin + h).Slope)).Within(1e-11));
        }
        Assert.That(loss.At(0), Is.EqualTo((Math.Log(2), -0.5, 0.25)));
        Assert.That(loss.At(-1e4), Is.EqualTo((1e4, -1.0, 0.0)));
        Assert.That(loss.At(1e4), Is.EqualTo((0.0, 0.0, 0.0)));
    }

    [Test]
    public void PairsAreDrawnWithTotalProbabilityOne()
    {
        foreach (var groups in new[] { null, new[] { 0, 1, 0, 1, 0 } })
        {
            var draw = new PairDraw([1, 2, 0, 3, 0.5], groups);
            double total = 0;
            for (var i = 0; i < 5; i++)
            {
                for (var j = 0; j < i; j++)
                {
                    total += draw.Probability(i, j);
                }
            }
            Assert.That(total, Is.EqualTo(1).Within(1e-15));
            Assert.That(draw.Held, Is.EqualTo(new[] { 0, 1, 3, 4 }));
        }
        Assert.That(new PairDraw([1, 1, 1], [0, 1, 0]).Probability(0, 1), Is.Zero);
    }

    [Test]
    public void LogProbsByHand()
    {
        double[] p = [Math.Log(0.5), Math.Log(0.25), Math.Log(0.25)], q = [Math.Log(0.25), Math.Log(0.5), Math.Log(0.25)];
        Assert.That(LogProbs.Kl(p, q), Is.EqualTo(0.25 * Math.Log(2)).Within(1e-15));
        Assert.That(LogProbs.TotalVariation(p, q), Is.EqualTo(0.25).Within(1e-15));
        Assert.That(LogProbs.LogSumExp([1000, 1000]), Is.EqualTo(1000 + Math.Log(2)).Within(1e-12));
        Assert.That(LogProbs.LogSumExp([]), Is.EqualTo(double.NegativeInfinity));
        Assert.That(LogProbs.Normalise([3, double.NegativeInfinity]), Is.EqualTo(new[] { 0, double.NegativeInfinity }));
        Assert.That(LogProbs.ByLogits(p, [1, 0, 0]), Is.EqualTo(new[] { 0.5, -0.25, -0.25 }).Within(1e-15));
    }

    /// <summary>A = B B^T + 1, in sizes about those of a vector: A x is b again.</summary>
    [Test]
    public void CholeskySolves([Values(0, 1, 3, 4, 5, 8, 17)] int n)
    {
        var b = TinyModels.Random(1, 0, n * n);
        var a = new double[n * n];
        for (var i = 0; i < n; i++)
        {
            for (var j = 0; j < n; j++)
            {
                a[(i * n) + j] = (i == j ? 1 : 0) + Enumerable.Range(0, n).Sum(k => b[(i * n) + k] * b[(j * n) + k]);
            }
        }
        var right = TinyModels.Random(1, 1, n);
        double[] x = [.. right];
        Assert.That(Cholesky.TrySolve([.. a], x), Is.True);
        double[] product = [.. Enumerable.Range(0, n).Select(i => Enumerable.Range(0, n).Sum(j => a[(i * n) + j] * x[j]))];
        Assert.That(product, Is.EqualTo(right).Within(1e-12));
    }

    [Test]
    public void CholeskyRefusesWhatIsNotPositive() => Assert.That(Cholesky.TrySolve([1, 2, 2, 1], [1, 1]), Is.False);

    /// <summary>The Laplacian of a graph: its rank is the number of vertices less that of components.</summary>
    [Test]
    public void RankCountsComponents()
    {
        const int n = 11;
        var laplacian = new double[n * n];
        foreach (var (i, j, weight) in new[] { (0, 1, 1.0), (1, 2, 1e-3), (2, 0, 2), (3, 4, 1), (5, 6, 0.1), (6, 7, 3), (7, 8, 1) })
        {
            laplacian[(i * n) + i] += weight;
            laplacian[(j * n) + j] += weight;
            laplacian[(i * n) + j] -= weight;
            laplacian[(j * n) + i] -= weight;
        }
        // 0-1-2, 3-4, 5-6-7-8, 9, 10.
        Assert.That(Cholesky.Rank(laplacian, n, 1e-9), Is.EqualTo(n - 5));
        Assert.That(Cholesky.Rank([0, 0, 0, 0], 2, 1e-9), Is.Zero);
    }

    [Test]
    public void RankingsByHand()
    {
        Assert.That(PlackettLuce.Orders(4).Select(static o => string.Join(' ', o)).Distinct().Count(), Is.EqualTo(24));
        // exp(scores) 3, 2, 1: 3/6 and 2/3.
        Assert.That(PlackettLuce.LogProbability([Math.Log(3), Math.Log(2), 0]), Is.EqualTo(Math.Log(1.0 / 3)).Within(1e-15));
        Assert.That(PlackettLuce.LogProbability([0, Math.Log(3)]), Is.EqualTo(Math.Log(0.25)).Within(1e-15));
    }

    /// <summary>A start at margins of 40, where the loss is flat to whole Newton steps: without a limit they never come back.</summary>
    [Test]
    public void NewtonComesBackFromAfar()
    {
        var world = new TheoryWorld(new TheoryOptions { Length = 3, Beta = 10 });
        var prompt = world.Prompts[0];
        var loss = new ExpectedLoss(prompt, world.Lengths, new TheoryDpoLoss(10), PairDraw.Uniform(world.Sequences.Count));
        double[] far = [.. prompt.Reference.Select(static (q, i) => q + (i % 2 == 0 ? 2 : -2))];
        var minimum = LogProbs.Normalise(Newton.Minimise(loss, far, [.. Enumerable.Range(0, far.Length)], default));
        Assert.That(LogProbs.TotalVariation(minimum, prompt.Optimal), Is.LessThan(1e-12));
    }
}
