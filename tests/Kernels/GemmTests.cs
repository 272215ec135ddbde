using System.Runtime.InteropServices;
using FsCheck;
using FsCheck.Fluent;
using TinyDpo.Kernels;

namespace TinyDpo.Tests;

public unsafe class GemmTests
{
    private static readonly GemmKernel[] Kernels = [GemmKernel.Wide256, GemmKernel.Wide512];
    private WorkerTeam[] teams = [];

    [OneTimeSetUp]
    public void StartTeams() => teams = [new WorkerTeam(1), new WorkerTeam(2), new WorkerTeam(3)];

    [OneTimeTearDown]
    public void StopTeams() => Array.ForEach(teams, team => team.Dispose());

    [Test]
    public void EveryShapeGivesTheBitsOfTheReferenceLoop()
    {
        var length = Gen.Frequency((1, Gen.Constant(0)), (3, Gen.Choose(1, 9)), (4, Gen.Choose(1, 90)), (1, Gen.Choose(128, 300)));
        // Long sums have several blocks; with few rows and columns, to be quick.
        var shape = Gen.Frequency(
            (5, from m in length from n in length from k in length select (m, n, k)),
            (1, from m in Gen.Choose(1, 20) from n in Gen.Choose(1, 40) from k in Gen.Choose(500, 1600) select (m, n, k)));
        var flag = Gen.Elements(false, true);
        var cases =
            from size in shape
            from transposes in Gen.Zip(flag, flag)
            from accumulate in flag
            from padding in Gen.Choose(0, 5)
            from alpha in Gen.Elements(1.0, -0.75, 0)
            from kernel in Gen.Elements(Kernels)
            from team in Gen.Choose(0, 2)
            from seed in Gen.Choose(0, 1000)
            select new Problem(size.m, size.n, size.k, transposes.Item1, transposes.Item2, accumulate, padding, (Real)alpha, seed)
            {
                Kernel = kernel,
                Team = team,
            };
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(150), Prop.ForAll(Arb.From(cases),
            x => HaveSameBits(x.Multiply(teams[x.Team]), x.Reference())));
    }

    [TestCase(17, 2100, 9, 3, TestName = "Many columns")]
    [TestCase(200, 129, 40, 3, TestName = "Rows in several items of work")]
    [TestCase(16, 65, 513, 3, TestName = "Few rows, two blocks of the sum")]
    [TestCase(1, 8200, 33, 3, TestName = "One row")]
    [TestCase(67, 45, 1130, 3, TestName = "The gradient of a weight, three blocks of the sum")]
    [TestCase(60, 800, 1030, 3, TestName = "The gradient of a weight, more columns than the cache holds")]
    [TestCase(150, 130, 1130, 3, TestName = "The gradient of a weight with more rows than columns")]
    [TestCase(130, 150, 1130, 3, TestName = "The gradient of a weight with more columns than rows")]
    [TestCase(3, 300, 600, 1100, TestName = "Row by row, its transposed A packed")]
    [TestCase(60, 200, 1030, 1100, TestName = "The gradient of a weight, its transposed A packed")]
    [TestCase(60, 800, 1030, 1100, TestName = "Two blocks of columns and three of the sum, a transposed A packed")]
    [TestCase(330, 70, 600, 3, TestName = "More rows than columns, two blocks of the sum")]
    public void LargerShapesToo(int m, int n, int k, int padding)
    {
        foreach (var (transA, transB) in new[] { (false, false), (false, true), (true, false), (true, true) })
        {
            var problem = new Problem(m, n, k, transA, transB, true, padding, (Real)0.5, 1);
            AssertGivenByAll(problem, problem.Reference());
        }
    }

    /// <summary>One thread never sums by depth, and <see cref="LargerShapesToo"/> holds it against the reference loop.</summary>
    [TestCase(520, 520, 1024, TestName = "The gradient of a weight, no operand's block fits the cache")]
    [TestCase(260, 1300, 2049, TestName = "The gradient of a weight, too large for sums of its own")]
    public void GradientsNotSummedByDepthAreThoseOfOneThread(int m, int n, int k)
    {
        var problem = new Problem(m, n, k, true, false, false, 3, 1, 1);
        AssertGivenByAll(problem, problem.Multiply(teams[0]));
    }

    /// <summary>A worker knows what it has packed last, and must not take it for another product's.</summary>
    [Test]
    public void GradientsOfWeightsOneAfterTheOtherAreEachTheirOwn()
    {
        for (var i = 0; i < 40; i++)
        {
            var (m, n) = i % 3 == 0 ? (150, 130) : (24, 150);
            var problem = new Problem(m, n, i % 2 == 0 ? 2000 : 600, true, false, false, 0, 1, i);
            Assert.That(HaveSameBits(problem.Multiply(teams[1 + (i / 2 % 2)]), problem.Reference()), $"product {i}");
        }
    }

    [Test]
    public void ProductsByRowsOneAfterTheOtherAreEachTheirOwn()
    {
        for (var i = 0; i < 40; i++)
        {
            // By rows; every third by columns, which packs its panels in the same place.
            var (m, n) = i % 3 == 0 ? (40, 200) : (200, i % 2 == 0 ? 130 : 70);
            var problem = new Problem(m, n, i % 4 < 2 ? 60 : 600, false, i % 5 < 2, false, 0, 1, i);
            Assert.That(HaveSameBits(problem.Multiply(teams[1 + (i / 2 % 2)]), problem.Reference()), $"product {i}");
        }
    }

    [Test]
    public void ARowHasTheSameBitsInAnyBatch([Values] bool transB, [Values] bool accumulate)
    {
        const int m = 130, n = 70, k = 600;
        var all = new Problem(m, n, k, false, transB, accumulate, 0, 1, 5);
        var c = all.Multiply(teams[1]);
        foreach (var (first, rows) in new[] { (0, 1), (77, 1), (129, 1), (3, 4), (5, 5), (5, 7), (40, 13), (1, 129) })
        {
            var part = all.Rows(first, rows).Multiply(teams[2]);
            Assert.That(HaveSameBits(part, c.AsSpan(first * n, rows * n)), $"rows {first}..{first + rows - 1}");
        }
    }

    [Test]
    public void TheErrorIsThatOfASumInOrder()
    {
        foreach (var k in new[] { 1, 64, 700, 3000 })
        {
            var problem = new Problem(9, 21, k, false, true, false, 0, 1, 7);
            var c = problem.Multiply(teams[0]);
            for (var i = 0; i < 9; i++)
            {
                for (var j = 0; j < 21; j++)
                {
                    double exact = 0, size = 0;
                    for (var p = 0; p < k; p++)
                    {
                        var product = (double)problem.A[(i * k) + p] * problem.B[(j * k) + p];
                        exact += product;
                        size += Math.Abs(product);
                    }
                    // The bound of Higham (2002), "Accuracy and Stability of Numerical Algorithms", 3.1, with room for this double sum.
                    Assert.That((double)c[(i * 21) + j], Is.EqualTo(exact).Within(2 * k * (Real.BitIncrement(1) - 1) * size));
                }
            }
        }
    }

    [TestCase(70, 100, 90, 3, TestName = "An addend is added last: whole tiles and edges")]
    [TestCase(70, 96, 90, 3, TestName = "An addend is added last: a panel and a half")]
    [TestCase(70, 80, 90, 3, TestName = "An addend is added last: a panel and a quarter")]
    [TestCase(67, 45, 1130, 3, TestName = "An addend is added last: three blocks of the sum")]
    [TestCase(40, 800, 1030, 1100, TestName = "An addend is added last: two blocks of columns")]
    [TestCase(40, 200, 700, 1100, TestName = "An addend is added last: a packed A")]
    [TestCase(5, 70, 600, 3, TestName = "An addend is added last: fewer rows than a tile")]
    [TestCase(3, 70, 600, 3, TestName = "An addend is added last: row by row")]
    [TestCase(1, 8200, 33, 3, TestName = "An addend is added last: one row")]
    [TestCase(20, 40, 0, 3, TestName = "An addend is added last: nothing to add it to")]
    public void AnAddendIsAddedLast(int m, int n, int k, int padding)
    {
        foreach (var (transA, transB) in new[] { (false, false), (false, true), (true, false), (true, true) })
        {
            var problem = new Problem(m, n, k, transA, transB, false, padding, (Real)0.7, 1);
            var addend = new Problem(m, n, k, transA, transB, false, padding, 1, 9).C;
            var expected = problem.Reference();
            for (var i = 0; i < expected.Length; i++)
            {
                expected[i] += i % (n + padding) < n ? addend[i] : 0;
            }
            AssertGivenByAll(problem with { Addend = addend }, expected);
        }
    }

    /// <summary>As those that each worker packs for itself; and B is not read again: there is NaN by then.</summary>
    [TestCase(1, 70, 600, TestName = "A kept B: one row, two blocks of the sum")]
    [TestCase(3, 513, 64, TestName = "A kept B: row by row")]
    [TestCase(5, 70, 1130, TestName = "A kept B: fewer rows than a tile, three blocks")]
    [TestCase(64, 172, 64, TestName = "A kept B: whole tiles")]
    [TestCase(64, 96, 600, TestName = "A kept B: a panel and a half")]
    [TestCase(260, 33, 700, TestName = "A kept B: more rows than columns")]
    [TestCase(1040, 130, 600, TestName = "A kept B: a packed A")]
    [TestCase(530, 520, 1024, TestName = "A kept B: more columns than are gone through at a time")]
    public void PanelsThatAreKeptGiveTheSameBits(int m, int n, int k)
    {
        foreach (var transA in new[] { false, true })
        {
            var problem = new Problem(m, n, k, transA, true, true, 0, (Real)0.5, 1);
            var expected = problem.Reference();
            AssertGivenByAll(problem with { KeepsB = true }, expected);
            AssertGivenByAll(problem, expected);
        }
    }

    [Test]
    public void ANewProductDoesNotReadC()
    {
        var problem = new Problem(20, 40, 30, false, false, false, 2, 1, 1);
        Array.Fill(problem.C, Real.NaN);
        var c = problem.Multiply(teams[1]);
        for (var i = 0; i < c.Length; i++)
        {
            Assert.That(Real.IsNaN(c[i]), Is.EqualTo(i % 42 >= 40), "NaN in the padding and there alone");
        }
        Array.Fill(problem.C, Real.NaN);
        Assert.That((problem with { K = 0 }).Multiply(teams[1])[..40], Is.All.Zero);
    }

    [Test]
    public void WhatIsAskedForAheadIsEveryLineOfTheStripAndLittleMore(
        [Values] bool alongSteps, [Values(1, 8, 31, 128)] int count, [Values(1, 100, 256, 465)] int depth)
    {
        const int line = Prefetch.Line;
        var (rows, width) = alongSteps ? (count, depth) : (depth, count);
        var lines = (width + line - 1) / line;
        var ld = (lines + 1) * line;
        // Nothing is read there.
        var strip = (Real*)4096;
        var asked = new HashSet<long>();
        for (var part = 0; GemmAhead.Part(strip, ld, alongSteps, count, depth, part) is { First: not null } ahead; part++)
        {
            for (var i = 0; i < GemmAhead.Requests(depth); i++)
            {
                var first = ahead.First - strip + (i * ahead.Stride);
                for (var at = 0; at < GemmAhead.Lines; at++)
                {
                    asked.Add((first + (at * ahead.Between)) / line);
                }
            }
        }
        var wanted = Enumerable.Range(0, rows).SelectMany(row => Enumerable.Range(0, lines).Select(at => ((long)row * (lines + 1)) + at));
        Assert.That(asked.IsSupersetOf(wanted));
        Assert.That(asked, Has.Count.LessThan((rows + line) * lines), "at most to the next multiple of steps");
    }

    [Test]
    public void ProductsOfSeveralCallersAndInsideABodyDoNotDisturbEachOther([Values("columns", "rows", "depth")] string sharedOutBy)
    {
        // By rows and by depth a worker remembers what it has packed.
        var problem = sharedOutBy switch
        {
            "columns" => new Problem(40, 80, 90, true, true, false, 0, 1, 3),
            "rows" => new Problem(140, 130, 90, false, true, false, 0, 1, 3),
            _ => new Problem(24, 150, 600, true, false, false, 0, 1, 3),
        };
        var expected = problem.Reference();
        var results = new Real[24][];
        Parallel.For(0, 12, i => results[i] = problem.Multiply(teams[2]));
        teams[2].For(12, 1, 0, (_, from, to) =>
        {
            for (var i = from; i < to; i++)
            {
                results[12 + i] = problem.Multiply(teams[2]);
            }
        });
        foreach (var result in results)
        {
            Assert.That(HaveSameBits(result, expected));
        }
    }

    [Test]
    public void ProductsAllocateNothingOnceWarm()
    {
        var problem = new Problem(40, 80, 90, false, true, false, 0, 1, 3);
        fixed (Real* a = problem.A, b = problem.B, c = problem.C)
        {
            var before = 0L;
            for (var i = 0; i < 110; i++)
            {
                if (i == 10)
                {
                    before = GC.GetAllocatedBytesForCurrentThread();
                }
                Gemm.Multiply(teams[1], false, true, 40, 80, 90, 1, a, 90, b, 90, false, c, 80);
                Gemm.Multiply(teams[1], false, true, 1, 80, 90, 1, a, 90, b, 90, false, c, 80);
                Gemm.Multiply(teams[1], false, true, 40, 30, 90, 1, a, 90, b, 90, false, c, 80);
            }
            Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
        }
    }

    /// <summary>Every micro-kernel gives these bits, with any number of threads.</summary>
    private void AssertGivenByAll(Problem problem, Real[] expected)
    {
        foreach (var kernel in Kernels)
        {
            foreach (var team in teams)
            {
                Assert.That(HaveSameBits((problem with { Kernel = kernel }).Multiply(team), expected));
            }
        }
    }

    /// <summary>Panels begin where the backends' memory does, at a cache line.</summary>
    private readonly struct AlignedNumbers(int length) : IDisposable
    {
        public readonly Real* Start = (Real*)NativeMemory.AlignedAlloc((nuint)length * sizeof(Real), 64);

        public void Dispose() => NativeMemory.AlignedFree(Start);
    }

    private static bool HaveSameBits(ReadOnlySpan<Real> x, ReadOnlySpan<Real> y) =>
        MemoryMarshal.AsBytes(x).SequenceEqual(MemoryMarshal.AsBytes(y));

    /// <summary>One product with random operands; each leading dimension is longer than its rows by Padding.</summary>
    private sealed record Problem(int M, int N, int K, bool TransA, bool TransB, bool Accumulate, int Padding, Real Alpha, int Seed)
    {
        public Real[] A { get; init; } = Random(Seed, 0, (TransA ? K : M) * ((TransA ? M : K) + Padding));

        public Real[] B { get; init; } = Random(Seed, 1, (TransB ? N : K) * ((TransB ? K : N) + Padding));

        public Real[] C { get; init; } = Random(Seed, 2, M * (N + Padding));

        public Real[] Addend { get; init; } = [];

        public bool KeepsB { get; init; }

        public GemmKernel Kernel { get; init; } = GemmKernel.Best;

        public int Team { get; init; }

        private int Lda => (TransA ? M : K) + Padding;

        private int Ldb => (TransB ? K : N) + Padding;

        public Real[] Multiply(WorkerTeam team)
        {
            var result = C.ToArray();
            var right = B.ToArray();
            using var panels = new AlignedNumbers(KeepsB ? (N + Kernel.Columns) * K : 0);
            fixed (Real* a = A, b = right, c = result, addend = Addend)
            {
                if (KeepsB)
                {
                    Gemm.PackTransposed(Kernel, team, N, K, b, panels.Start);
                    Array.Fill(right, Real.NaN);
                }
                Gemm.Multiply(
                    Kernel, team, TransA, TransB, M, N, K, Alpha, a, Lda, b, Ldb, Accumulate, c, N + Padding, addend, KeepsB ? panels.Start : null);
            }
            return result;
        }

        public Real[] Reference()
        {
            var result = C.ToArray();
            fixed (Real* a = A, b = B, c = result)
            {
                Gemm.Reference(TransA, TransB, M, N, K, Alpha, a, Lda, b, Ldb, Accumulate, c, N + Padding);
            }
            return result;
        }

        /// <summary>Some rows of a problem without TransA or padding.</summary>
        public Problem Rows(int first, int count) => this with
        {
            M = count,
            A = A.AsSpan(first * K, count * K).ToArray(),
            C = C.AsSpan(first * N, count * N).ToArray(),
        };

        private static Real[] Random(int seed, int sequence, int count) =>
            [.. Enumerable.Range(0, count).Select(i => (Real)((2 * Philox.Uniform((ulong)seed, RandomPurpose.Test, 0, sequence, i)) - 1))];
    }
}
