using TinyDpo.Dpo;
using TinyDpo.Kernels;

namespace TinyDpo.Tests;

/// <summary>The paper's claims hold in a world that can be listed, and planted errors make them fail.</summary>
public class TheoryTests
{
    private static readonly TheoryOptions s_world = new() { Length = 3 };

    [TestCase(1ul), TestCase(2ul)]
    public void EveryClaimHolds(ulong seed)
    {
        var claims = Check(s_world with { Seed = seed });
        Assert.That(claims, Has.Count.AtLeast(14));
        Assert.That(Failing(claims), Is.Empty);
    }

    [Test]
    public void AFlippedSignIsFound() => Assert.That(Failing(Check(s_world, new FlippedSign())), Has.Some.Contains("minimum"));

    [Test]
    public void AMissingBetaIsFound() => Assert.That(Failing(Check(s_world, new MissingBeta())), Has.Some.Contains("minimum"));

    [Test]
    public void AveragedLogProbsAreFound() => Assert.That(Failing(Check(s_world, new AveragedLogProbs())), Has.Some.Contains("minimum"));

    private static IReadOnlyList<Claim> Check(TheoryOptions options, TheoryLoss? loss = null)
    {
        using var backend = new CpuBackend(1);
        return TheoryRun.Run(options, backend, IRunLog.Silent, loss);
    }

    private static string[] Failing(IReadOnlyList<Claim> claims) =>
        [.. claims.Where(static c => !c.Holds).Select(static c => $"{c.Text}: {c.Measured} against {c.Bound}")];

    private sealed class FlippedSign() : TheoryDpoLoss(s_world.Beta)
    {
        public override (double Value, double Slope, double Curvature) At(double margin)
        {
            var (value, slope, curvature) = base.At(-margin);
            return (value, -slope, curvature);
        }
    }

    private sealed class MissingBeta() : TheoryDpoLoss(1)
    {
    }

    private sealed class AveragedLogProbs() : TheoryDpoLoss(s_world.Beta)
    {
        public override double Scale(int length) => base.Scale(length) / length;
    }
}
