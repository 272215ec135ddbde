using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

/// <summary>The parts of PPO against tables worked out by hand, and whole runs against optima that are known.</summary>
internal sealed class PpoTests
{
    // A bandit: after one prompt one of six tokens is drawn, and that is all.
    private const int Arms = 6;
    private const double Coefficient = 0.5;
    private static readonly double[] s_rewards = [0, 1, 0.2, 0.7, 0.4, 0.9];
    private static readonly PpoOptions s_bandit = new()
    {
        Iterations = 100,
        Rollouts = 512,
        SamplesPerPrompt = 4,
        MiniBatchSize = 128,
        MaxTokens = 1,
        KlCoefficient = Coefficient,
        WhitenRewards = false,
        WhitenAdvantages = false,
        LearningRate = 3e-3,
        ValueLearningRate = 1e-2,
        Seed = 5,
    };

    /// <summary>Rewards 1, 0, 2 and values 0.5, 1, -1: delta_2 = 2 + 1, delta_1 = -0.9 - 1, delta_0 = 1 + 0.9 - 0.5.</summary>
    [TestCase(0.9, 0.5, 1.1525, -0.55, 3)]
    [TestCase(0.9, 0, 1.4, -1.9, 3)]
    [TestCase(1, 1, 2.5, 1, 3, TestName = "lambda 1: the return less the value")]
    public void GeneralizedAdvantagesAreThoseOfTheTable(double discount, double lambda, params double[] expected)
    {
        var advantages = GeneralizedAdvantage.Of([1, 0, 2], [0.5, 1, -1], discount, lambda);
        Assert.That(advantages, Is.EqualTo(expected).Within(1e-12));
        Assert.That(() => GeneralizedAdvantage.Of([1, 0], [1], 1, 1), Throws.ArgumentException);
    }

    /// <summary>Ratios within, above and below the range, for advantages of both signs: clipped where clipping takes from the objective alone.</summary>
    [Test]
    public void TheClippedObjectiveHasItsValueAndItsGradient()
    {
        const double epsilon = 0.2;
        double[] shifts = [0, 0.1, -0.1, 0.5, 0.5, -0.5, -0.5, 3], advantages = [1.5, -2, 0.5, 1, -1, 1, -1, 0];
        using var backend = PoisonedBackend.Create();
        using var step = new StepScope(backend);
        var logProbs = Tensor.From(backend, Shape.Vector(8), [.. shifts.Select(static s => (Real)(s - 2))], requiresGrad: true);
        var old = Tensor.From(backend, Shape.Vector(8), [.. shifts.Select(static _ => (Real)(-2))]);
        var objective = ClippedObjective.PerToken(logProbs, old, Tensor.From(backend, Shape.Vector(8), [.. advantages.Select(static a => (Real)a)]), epsilon);
        var values = objective.ToArray();
        objective.Sum().Backward();
        var gradient = logProbs.GradToArray();
        for (var i = 0; i < shifts.Length; i++)
        {
            var (value, slope) = (Of(i, shifts[i]), (Of(i, shifts[i] + 1e-5) - Of(i, shifts[i] - 1e-5)) / 2e-5);
            Assert.That(values[i], Is.EqualTo(value).Within(sizeof(Real) == 4 ? 1e-5 : 1e-12), $"token {i}");
            Assert.That(gradient[i], Is.EqualTo(slope).Within(sizeof(Real) == 4 ? 1e-5 : 1e-9), $"token {i}");
        }
        Assert.That((gradient[3], gradient[6]), Is.EqualTo(((Real)0, (Real)0)), "nothing is to be gained outside the range");
        Assert.That(gradient[4], Is.Not.Zero);
        Assert.That(gradient[5], Is.Not.Zero);

        double Of(int i, double shift)
        {
            var ratio = Math.Exp(shift);
            return Math.Min(ratio * advantages[i], Math.Clamp(ratio, 1 - epsilon, 1 + epsilon) * advantages[i]);
        }
    }

    [Test]
    public void RewardsAreThePenaltyOfEachTokenAndTheScoreOfTheLast()
    {
        var rollout = new Rollout([1], [2, 3, 4], 5, [-1, -2, -3], [-1.5, -1, -3], [0, 0, 0]);
        Assert.That(rollout.LogRatio, Is.EqualTo(-0.5));
        Assert.That(rollout.Rewards(0.1), Is.EqualTo(new[] { -0.05, 0.1, 5 }).Within(1e-12));
    }

    [Test]
    public void LeaveOneOutComparesWithThePromptsOtherSamples()
    {
        double[][] rewards = [[1, 0], [2], [1, 1, 1], [0], [0], [6]];
        Assert.That(
            RolloutAdvantages.LeaveOneOut(rewards, 3), Is.EqualTo(new double[][] { [-1.5, -1.5], [0], [1.5, 1.5, 1.5], [-3], [-3], [6] }));
    }

    [Test]
    public void WhiteningKeepsTheMeanOnlyWhereItMustNotShiftIt()
    {
        double[][] both = [[1, 2], [3]], scaled = [[1, 2], [3]], equal = [[2, 2]];
        var deviation = Math.Sqrt(2.0 / 3);
        RolloutAdvantages.Whiten(both, shiftMean: true);
        RolloutAdvantages.Whiten(scaled, shiftMean: false);
        RolloutAdvantages.Whiten(equal, shiftMean: true);
        Assert.That(both.SelectMany(static v => v), Is.EqualTo(new[] { -1 / deviation, 0, 1 / deviation }).Within(1e-12));
        Assert.That(scaled.SelectMany(static v => v), Is.EqualTo(new[] { 1 / deviation, 2 / deviation, 3 / deviation }).Within(1e-12));
        Assert.That(equal[0], Is.All.Zero);
    }

    [Test]
    public void TheCoefficientIsSteeredToTheTarget()
    {
        var fixedOne = new KlController(0.3, null, 0.1);
        fixedOne.Update(100);
        Assert.That(fixedOne.Coefficient, Is.EqualTo(0.3));
        foreach (var (kl, factor) in new[] { (2.0, 1), (2.1, 1.005), (10, 1.02), (0, 0.98) })
        {
            var steered = new KlController(0.3, 2, 0.1);
            steered.Update(kl);
            Assert.That(steered.Coefficient, Is.EqualTo(0.3 * factor).Within(1e-12), $"KL {kl}");
        }
    }

    /// <summary>The optimum of E[r] - coefficient KL is pi_ref exp(r / coefficient) / Z (Rafailov et al. 2023, equation 4).</summary>
    [TestCase(AdvantageEstimator.Generalized, 4)]
    [TestCase(AdvantageEstimator.LeaveOneOut, 1)]
    public void ABanditIsLearntToItsOptimum(AdvantageEstimator estimator, int epochs)
    {
        using var backend = new CpuBackend(2);
        var (before, after) = Learn(backend, s_bandit with { Estimator = estimator, Epochs = epochs });
        double[] optimum = [.. before.Select(static (p, arm) => p * Math.Exp(s_rewards[arm] / Coefficient))];
        optimum = [.. optimum.Select(p => p / optimum.Sum())];
        Assert.That(TotalVariation(before, optimum), Is.GreaterThan(0.1), "there is something to learn");
        Assert.That(TotalVariation(after, optimum), Is.LessThan(0.01));

        static double TotalVariation(double[] a, double[] b) => a.Zip(b, static (x, y) => Math.Abs(x - y)).Sum() / 2;
    }

    [Test]
    public void ALargeCoefficientHoldsThePolicyAtTheReference()
    {
        using var backend = new CpuBackend(2);
        var options = s_bandit with { WhitenRewards = true, WhitenAdvantages = true, LearningRate = 1e-3 };
        var free = Learn(backend, options with { KlCoefficient = 0 });
        var held = Learn(backend, options with { KlCoefficient = 1e6 });
        Assert.That(Kl(free), Is.GreaterThan(0.1));
        Assert.That(Kl(held), Is.LessThan(1e-4));

        static double Kl((double[] Reference, double[] Policy) run) => run.Policy.Zip(run.Reference, static (p, q) => p * Math.Log(p / q)).Sum();
    }

    [Test]
    public void EntropyIsWorthItsCoefficient()
    {
        using var backend = new CpuBackend(2);
        var options = s_bandit with { Iterations = 20, KlCoefficient = 0, Epochs = 1 };
        Assert.That(Entropy(options with { EntropyCoefficient = 1 }), Is.GreaterThan(0.95 * Math.Log(Arms)));
        Assert.That(Entropy(options), Is.LessThan(0.8 * Math.Log(Arms)));

        double Entropy(PpoOptions o) => -Learn(backend, o).Policy.Sum(static p => p * Math.Log(p));
    }

    /// <summary>Sequences of several tokens, whose last is drawn or not.</summary>
    [Test]
    public void ThreadsChangeNoBitOfARun()
    {
        Assert.That(Run(2), Is.EqualTo(Run(1)));

        static Real[] Run(int threads)
        {
            using var backend = new CpuBackend(threads);
            var reference = TinyModels.Create(backend);
            var policy = reference.Clone();
            new PpoTrainer(policy, reference, [[3], [4, 7, 9], [11, 2]], eosId: 1, CountOfFives, SequenceOptions).Run();
            return TinyModels.Weights(policy);
        }
    }

    [Test]
    public void TheFirstIterationSeesThePolicyAtTheReferenceAndLaterOnesARisingReward()
    {
        using var backend = new CpuBackend(2);
        var reference = TinyModels.Create(backend);
        var reports = new List<PpoReport>();
        new PpoTrainer(reference.Clone(), reference, [[3], [4, 7, 9], [11, 2]], eosId: 1, CountOfFives, SequenceOptions with { Iterations = 12 })
            .Run(reports.Add);
        Assert.That(reports[0].Kl, Is.Zero);
        Assert.That(reports[^1].Reward, Is.GreaterThan(reports[0].Reward + 0.5));
        Assert.That(reports[^1].Kl, Is.GreaterThan(0));
    }

    [Test]
    public void LeaveOneOutNeedsSeveralSamplesOfAPrompt()
    {
        using var backend = new CpuBackend(1);
        var model = TinyModels.Create(backend);
        foreach (var options in new[] { new PpoOptions { Estimator = AdvantageEstimator.LeaveOneOut }, new PpoOptions { Rollouts = 5, SamplesPerPrompt = 2 } })
        {
            Assert.That(() => new PpoTrainer(model, model, [[1]], null, CountOfFives, options), Throws.ArgumentException.With.Message.Contains("samples"));
        }
    }

    internal static PpoOptions SequenceOptions { get; } = new()
    {
        Iterations = 3,
        Rollouts = 24,
        MiniBatchSize = 8,
        Epochs = 2,
        MaxTokens = 6,
        TokenBudget = 40,
        KlCoefficient = 0.01,
        TargetKl = 2,
        LearningRate = 3e-3,
        Seed = 2,
    };

    internal static double[] CountOfFives(IReadOnlyList<PromptGroup> completions) =>
        [.. completions.Select(static g => (double)g.Completions[0].Count(static token => token == 5))];

    private static (double[] Reference, double[] Policy) Learn(CpuBackend backend, PpoOptions options)
    {
        var reference = TinyModels.Create(backend, TinyModels.Config(vocabulary: Arms));
        var policy = reference.Clone();
        new PpoTrainer(
            policy, reference, [[2]], eosId: null, static completions => [.. completions.Select(static g => s_rewards[g.Completions[0][0]])], options).Run();
        return (Distribution(reference), Distribution(policy));

        static double[] Distribution(Transformer model) =>
            [.. PolicyDivergence.LogProbs(model, [.. Enumerable.Range(0, Arms).Select(static arm => ((int[])[2], (int[])[arm]))]).Select(Math.Exp)];
    }
}
