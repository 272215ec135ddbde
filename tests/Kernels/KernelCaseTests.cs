using TinyDpo.Kernels;

namespace TinyDpo.Tests;

/// <summary>The cases of the benchmarks: their results are right, and a wrong one would show.</summary>
public class KernelCaseTests
{
    // Sums of up to 1,900 products of numbers below 1, in units of the largest result.
    private const double Most = sizeof(Real) == sizeof(float) ? 1e-5 : 1e-13;

    private static IEnumerable<KernelSpec> Smallest() =>
        KernelCases.All().GroupBy(static s => s.Kernel).Select(static g => g.MinBy(static s => s.Shape.Length)!);

    [TestCaseSource(nameof(Smallest))]
    public void AgreesWithDouble(KernelSpec spec)
    {
        using var backend = new CpuBackend(2);
        using var scope = new MemoryScope(backend);
        using var made = spec.Create(backend);
        made.Run();
        Assert.That(made.Error(), Is.LessThan(Most));
        Assert.That(made.Work, Is.GreaterThan(0));
    }

    /// <summary>Of products the table has OpenBLAS's time and error too; each size of these differs from the others.</summary>
    [Test]
    public void ProductsAreTimedByTurnsWithTheRival()
    {
        if (!OpenBlas.IsPresent)
        {
            Assert.Ignore("needs libopenblas.so.0 (Debian: libopenblas0-pthread), and a build in float");
        }
        using var backend = new CpuBackend(1);
        bool[] both = [false, true];
        var timings = KernelTable.Run(backend, both.SelectMany(a => both.Select(b => new ProductSpec(a, b, 17, 9, 31)))).ToList();
        Assert.That(timings, Has.Count.EqualTo(4).And.All.Matches<KernelTiming>(static t => t is { Error: < Most, Rival: { Seconds: > 0, Error: < Most } }));
        Assert.That(KernelTable.Run(backend, KernelCases.Norms().Take(1)).Single().Rival, Is.Null);
    }

    [Test]
    public void AWrongResultAndANaNShow()
    {
        using var backend = new CpuBackend(1);
        using var scope = new MemoryScope(backend);
        using var wrong = new KernelCase(
            backend, streams: false, [4, 4], result: 1, static (b, x) => b.Affine(x[0], 2, 0, x[1], false),
            static x => Enumerable.Range(0, 4).Select(i => (i, 3 * x[0][i])));
        using var none = new KernelCase(
            backend, streams: false, [4, 4], result: 1, static (b, x) => b.Affine(x[0], Real.NaN, 0, x[1], false),
            static x => Enumerable.Range(0, 4).Select(i => (i, x[0][i])));
        Assert.That(wrong.Error(), Is.EqualTo(1.0 / 3).Within(1e-6));
        Assert.That(none.Error(), Is.EqualTo(double.PositiveInfinity));
    }
}
