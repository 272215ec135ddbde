using TinyDpo.Dpo;
using TinyDpo.Kernels;

namespace TinyDpo.Tests;

/// <summary>The claims of the theory hold in a world that can be listed, and those that a wrong loss breaks fail.</summary>
public class TheoryTests
{
    private CpuBackend _backend = null!;

    [OneTimeSetUp]
    public void Open() => _backend = new CpuBackend(1);

    [OneTimeTearDown]
    public void Close() => _backend.Dispose();

    [TestCase(1UL, 4, 4, 0.5)]
    [TestCase(2UL, 4, 3, 0.1)]
    [TestCase(3UL, 6, 2, 10)]
    [TestCase(4UL, 4, 2, 1)]
    public void HoldsInEveryWorld(ulong seed, int vocabulary, int length, double beta)
    {
        var c = Case(new TheoryOptions { Seed = seed, Vocabulary = vocabulary, Length = length, Beta = beta });
        Assert.Multiple(() =>
        {
            foreach (var claim in Exact(c))
            {
                Assert.That(claim.Holds, $"{claim}");
            }
        });
    }

    [Test]
    public void TheWholeRunHoldsWithTheTransformer()
    {
        var claims = TheoryRun.Run(new TheoryOptions { Length = 2 }, _backend, IRunLog.Silent);
        Assert.That(claims.Where(static claim => !claim.Holds), Is.Empty);
        Assert.That(claims, Has.Count.GreaterThanOrEqualTo(14));
        Assert.That(claims.Select(static claim => claim.Text), Is.Unique);
        Assert.That(claims.Select(static claim => claim.Text), Does.Contain(TransformerClaims.Residual));
    }

    [Test]
    [Category("Long")]
    public void HoldsForManySeeds([Range(1, 20)] int seed)
    {
        foreach (var beta in new[] { 0.1, 0.5, 10 })
        {
            var claims = TheoryRun.Run(new TheoryOptions { Seed = (ulong)seed, Length = 3, Beta = beta }, _backend, IRunLog.Silent);
            Assert.That(claims.Where(static claim => !claim.Holds), Is.Empty, $"beta {beta}");
        }
    }

    [Test]
    public void AFlippedSignIsFound() => AssertFail(
        new FlippedSign(),
        LossClaims.Preferences, LossClaims.Direct, LossClaims.Formula, LossClaims.Stationary, LossClaims.Entropy, EngineClaims.Loss,
        EngineClaims.Derivatives, MinimumClaims.Uniform, MinimumClaims.FromReference, PartialSupportClaims.Ratios, PlackettLuceClaims.Two);

    [Test]
    public void AMissingBetaIsFound() => AssertFail(
        new TheoryDpoLoss(1),
        LossClaims.Preferences, LossClaims.Identities, LossClaims.Direct, LossClaims.Formula, LossClaims.Stationary, LossClaims.Entropy,
        EngineClaims.Loss, EngineClaims.Derivatives, MinimumClaims.Uniform, MinimumClaims.FromReference, PartialSupportClaims.Ratios,
        PlackettLuceClaims.Two, PlackettLuceClaims.Rankings, PlackettLuceClaims.Minimum);

    /// <summary>With means the minimum depends on lengths, and the normaliser no longer cancels: mass on unheld answers is not free.</summary>
    [Test]
    public void AveragedLogProbsAreFound() => AssertFail(
        new AveragedLogProbs(),
        LossClaims.Preferences, LossClaims.Identities, LossClaims.Direct, LossClaims.Formula, LossClaims.Stationary, LossClaims.Entropy,
        EngineClaims.Loss, EngineClaims.Derivatives, MinimumClaims.Uniform, MinimumClaims.FromReference, PartialSupportClaims.Ratios,
        PartialSupportClaims.EqualLoss, PlackettLuceClaims.Two, PlackettLuceClaims.Rankings, PlackettLuceClaims.Minimum);

    /// <summary>The loss's own values, with the gradient that lacks the weight.</summary>
    [Test]
    public void AMissingWeightIsFound() =>
        AssertFail(new NoWeight(), LossClaims.Slope, LossClaims.Formula, LossClaims.Stationary, EngineClaims.Derivatives, MinimumClaims.Uniform);

    [Test]
    public void ATransformerTrainedOnTheWrongLossIsFound()
    {
        var c = Case(new TheoryOptions { Length = 2 }, new FlippedSign());
        var claims = TransformerClaims.Check(c, _backend, static _ => { }).ToDictionary(static claim => claim.Text, static claim => claim.Holds);
        Assert.That(claims[TransformerClaims.Residual], Is.False);
        Assert.That(claims[TransformerClaims.Distribution], Is.True);
    }

    [Test]
    public void ANaNHoldsNothing()
    {
        Assert.That(new Claim("", "", double.NaN, 1).Holds, Is.False);
        Assert.That(new Claim("", "", double.NaN, 1, AtLeast: true).Holds, Is.False);
        Assert.That(new Claim("", "", 1, 1).Holds, Is.True);
        Assert.That(new Claim("", "", 1, 1, AtLeast: true).Holds, Is.True);
        Assert.That(new Claim("", "", 2, 1).Holds, Is.False);
        Assert.That(new Claim("", "", 0, 1, AtLeast: true).Holds, Is.False);
        Assert.That(Case(new TheoryOptions { Length = 2 }).Worst(static x => x.Index == 0 ? double.NaN : 1), Is.NaN);
    }

    [Test]
    public void TheDocumentNamesEveryClaim()
    {
        var text = File.ReadAllText(Path.Combine(Repository.Root, "docs", "theory.md"));
        foreach (var claim in TheoryRun.Run(new TheoryOptions { Length = 2 }, _backend, IRunLog.Silent))
        {
            Assert.That(text, Does.Contain($"| {claim.Text.Replace("|", "\\|")} | {claim.Equation} |"));
        }
    }

    [Test]
    public void CancellationStopsIt()
    {
        using var source = new CancellationTokenSource();
        source.Cancel();
        Assert.That(
            () => TheoryRun.Run(new TheoryOptions { Length = 2 }, _backend, IRunLog.Silent, cancellation: source.Token),
            Throws.InstanceOf<OperationCanceledException>());
    }

    private static TheoryCase Case(TheoryOptions options, TheoryLoss? loss = null) =>
        new(new TheoryWorld(options), loss ?? new TheoryDpoLoss(options.Beta), default);

    // All but the transformer's.
    private IEnumerable<Claim> Exact(TheoryCase c) =>
    [
        .. OptimalPolicyClaims.Check(c), .. RewardClassClaims.Check(c), .. LossClaims.Check(c), .. EngineClaims.Check(c, _backend),
        .. MinimumClaims.Check(c), .. PartialSupportClaims.Check(c), .. FrontierClaims.Check(c), .. KlEstimatorClaims.Check(c),
        .. PlackettLuceClaims.Check(c),
    ];

    // These claims fail; those that the loss has no part in hold.
    private void AssertFail(TheoryLoss planted, params string[] claims)
    {
        var c = Case(new TheoryOptions { Length = 3 }, planted);
        var found = Exact(c).ToDictionary(static claim => claim.Text);
        Claim[] independent = [.. OptimalPolicyClaims.Check(c), .. RewardClassClaims.Check(c), .. FrontierClaims.Check(c), .. KlEstimatorClaims.Check(c)];
        Assert.Multiple(() =>
        {
            foreach (var claim in claims)
            {
                Assert.That(found[claim].Holds, Is.False, claim);
            }
            foreach (var claim in independent)
            {
                Assert.That(claim.Holds, Is.True, claim.Text);
            }
        });
    }

    private sealed class FlippedSign() : TheoryDpoLoss(0.5)
    {
        public override (double Value, double Slope, double Curvature) At(double margin)
        {
            var (value, slope, curvature) = base.At(-margin);
            return (value, -slope, curvature);
        }
    }

    private sealed class AveragedLogProbs() : TheoryDpoLoss(0.5)
    {
        public override double Scale(int length) => base.Scale(length) / length;
    }

    private sealed class NoWeight() : TheoryDpoLoss(0.5)
    {
        public override (double Value, double Slope, double Curvature) At(double margin)
        {
            var (value, _, curvature) = base.At(margin);
            return (value, -0.5, curvature);
        }
    }
}
