using TinyDpo.Simulator;

namespace TinyDpo.Tests.Simulator;

public unsafe class SimulatedBlasTests
{
    private const int Tf32Math = 3;

    [Test]
    public void MultipliesByColumns([Values] bool transA, [Values] bool transB, [Values(0f, 1f, -0.5f)] float beta, [Values(0, 3)] int gap)
    {
        const int m = 5, n = 4, k = 7;
        const float alpha = 0.75f;
        using var card = new TestCard();
        var blas = card.NewBlas();
        var (lda, ldb, ldc) = ((transA ? k : m) + gap, (transB ? n : k) + gap, m + gap);
        float[] a = Numbers(0, lda * (transA ? m : k)), b = Numbers(1, ldb * (transB ? k : n)), c = Numbers(2, ldc * n);
        nint deviceA = card.Upload(a), deviceB = card.Upload(b), deviceC = card.Upload(c);
        TestCard.Ok(Sgemm(card, blas, transA, transB, m, n, k, alpha, deviceA, lda, deviceB, ldb, beta, deviceC, ldc));
        var actual = card.Download(deviceC, c.Length);
        for (var j = 0; j < n; j++)
        {
            for (var i = 0; i < ldc; i++)
            {
                var at = (j * ldc) + i;
                var row = Math.Min(i, m - 1);
                var sum = Enumerable.Range(0, k).Sum(p =>
                    (double)a[transA ? (row * lda) + p : (p * lda) + row] * b[transB ? (p * ldb) + j : (j * ldb) + p]);
                var expected = i < m ? (alpha * sum) + (beta * c[at]) : c[at];
                Assert.That(actual[at], Is.EqualTo(expected).Within(1e-5), $"row {i}, column {j}");
            }
        }
    }

    [Test]
    public void WithBeta0CIsNotRead()
    {
        using var card = new TestCard();
        var blas = card.NewBlas();
        nint a = card.Upload(2), b = card.Upload(3), c = card.Allocate(1), nan = card.Upload(float.NaN);
        TestCard.Ok(Sgemm(card, blas, false, false, 1, 1, 1, 1, a, 1, b, 1, 0, c, 1));
        TestCard.Ok(Sgemm(card, blas, false, false, 1, 1, 1, 1, a, 1, b, 1, 0, nan, 1));
        Assert.That((card.Download(c, 1)[0], card.Download(nan, 1)[0]), Is.EqualTo((6f, 6f)));
    }

    [Test]
    public void WithAlpha0TheInputsAreNotRead()
    {
        using var card = new TestCard();
        var blas = card.NewBlas();
        nint a = card.Allocate(1), b = card.Upload(float.NaN), c = card.Upload(3);
        TestCard.Ok(Sgemm(card, blas, false, false, 1, 1, 1, 0, a, 1, b, 1, 2, c, 1));
        Assert.That(card.Download(c, 1), Is.EqualTo(new[] { 6f }));
    }

    [TestCase("A")]
    [TestCase("B")]
    [TestCase("C")]
    public void WhatNobodyWroteIsFound(string which)
    {
        using var card = new TestCard();
        var blas = card.NewBlas();
        nint a = Matrix("A"), b = Matrix("B"), c = Matrix("C");
        TestCard.Ok(Sgemm(card, blas, false, false, 2, 2, 2, 1, a, 2, b, 2, 1, c, 2));
        Assert.That(
            () => card.Driver.cuStreamSynchronize(card.Stream),
            Throws.TypeOf<SimulationException>().With.Message.Contains("cublasSgemm").And.Message.Contains($", {which}"));

        nint Matrix(string name)
        {
            var address = card.Allocate(4);
            TestCard.Ok(card.Driver.cuMemsetD32Async(address, 0, name == which ? 3u : 4u, card.Stream));
            return address;
        }
    }

    [Test]
    public void BetweenTheColumnsNothingIsTouched()
    {
        using var card = new TestCard();
        var blas = card.NewBlas();
        nint a = Columns(), b = Columns(), c = card.Allocate(16);
        TestCard.Ok(Sgemm(card, blas, false, false, 2, 2, 2, 1, a, 8, b, 8, 0, c, 8));
        Assert.DoesNotThrow(card.Synchronise);
        TestCard.Ok(card.Driver.cuMemcpyDtoHAsync(card.Pinned(2), c, 8, card.Stream));
        Assert.DoesNotThrow(card.Synchronise, "column 0 was written");
        TestCard.Ok(card.Driver.cuMemcpyDtoHAsync(card.Pinned(3), c, 12, card.Stream));
        Assert.That(() => card.Driver.cuStreamSynchronize(card.Stream), Throws.TypeOf<SimulationException>(), "what follows it was not");

        nint Columns()
        {
            var address = card.Allocate(16);
            TestCard.Ok(card.Driver.cuMemsetD32Async(address, 0, 2, card.Stream));
            TestCard.Ok(card.Driver.cuMemsetD32Async(address + 32, 0, 2, card.Stream));
            return address;
        }
    }

    [Test]
    public void AnInputTooShortIsFound()
    {
        using var card = new TestCard();
        var blas = card.NewBlas();
        nint a = card.Upload(new float[64]), b = card.Upload(new float[64]), c = card.Allocate(65);
        TestCard.Ok(Sgemm(card, blas, false, false, 1, 65, 1, 1, a, 1, b, 1, 0, c, 1));
        Assert.That(() => card.Driver.cuStreamSynchronize(card.Stream), Throws.TypeOf<SimulationException>().With.Message.Contains(", B"));
    }

    [Test]
    public void AResultOverItsInputIsFound()
    {
        using var card = new TestCard();
        var blas = card.NewBlas();
        var a = card.Upload(1, 2, 3, 4);
        Assert.That(
            () => Sgemm(card, blas, false, false, 2, 2, 2, 1, a, 2, a, 2, 0, a, 2), Throws.TypeOf<SimulationException>().With.Message.Contains("overlaps"));
    }

    [Test]
    public void LeadingDimensionsAndSizesAreChecked()
    {
        using var card = new TestCard();
        var blas = card.NewBlas();
        nint a = card.Upload(new float[64]), b = card.Upload(new float[64]), c = card.Upload(new float[64]);
        Assert.Multiple(() =>
        {
            Assert.That(Call(4, 2, 3, 4, 3, 4), Is.Zero);
            Assert.That(Call(4, 2, 3, 3, 3, 4), Is.EqualTo(7), "lda");
            Assert.That(card.Driver.WhyRefused, Does.Contain("of A is 3"));
            Assert.That(Call(4, 2, 3, 4, 2, 4), Is.EqualTo(7), "ldb");
            Assert.That(Call(4, 2, 3, 4, 3, 3), Is.EqualTo(7), "ldc");
            Assert.That(Call(-1, 2, 3, 4, 3, 4), Is.EqualTo(7));
            Assert.That(Call(0, 2, 3, 0, 3, 1), Is.EqualTo(7), "at least 1, for nothing too");
            Assert.That(Call(0, 2, 3, 1, 3, 1), Is.Zero);
            Assert.That(card.Driver.cublasSgemm(blas, 3, 0, 1, 1, 1, null, a, 1, b, 1, null, c, 1), Is.EqualTo(7));
        });

        int Call(int m, int n, int k, int lda, int ldb, int ldc) => Sgemm(card, blas, false, false, m, n, k, 1, a, lda, b, ldb, 0, c, ldc);
    }

    [Test]
    public void NoTermsLeaveBetaTimesC()
    {
        using var card = new TestCard();
        var blas = card.NewBlas();
        nint a = card.Allocate(2), b = card.Allocate(2), c = card.Upload(1, 2);
        TestCard.Ok(Sgemm(card, blas, false, false, 2, 1, 0, 1, a, 2, b, 1, 3, c, 2));
        Assert.That(card.Download(c, 2), Is.EqualTo(new[] { 3f, 6 }));
        TestCard.Ok(Sgemm(card, blas, false, false, 2, 1, 0, 1, a, 2, b, 1, 0, c, 2));
        Assert.That(card.Download(c, 2), Is.EqualTo(new[] { 0f, 0 }));
    }

    [Test]
    public void Tf32RoundsTheInputsTo10Bits()
    {
        using var card = new TestCard();
        var blas = card.NewBlas();
        // 1 + 2^-11 lies between two numbers with 10 bits: a tie, which goes away from zero.
        nint a = card.Upload(1 + MathF.Pow(2, -11), 1 + MathF.Pow(2, -12)), b = card.Upload(1), c = card.Allocate(2);
        TestCard.Ok(Sgemm(card, blas, false, false, 2, 1, 1, 1, a, 2, b, 1, 0, c, 2));
        Assert.That(card.Download(c, 2), Is.EqualTo(new[] { 1 + MathF.Pow(2, -11), 1 + MathF.Pow(2, -12) }));
        TestCard.Ok(card.Driver.cublasSetMathMode(blas, Tf32Math));
        TestCard.Ok(Sgemm(card, blas, false, false, 2, 1, 1, 1, a, 2, b, 1, 0, c, 2));
        Assert.That(card.Download(c, 2), Is.EqualTo(new[] { 1 + MathF.Pow(2, -10), 1f }));
        Assert.That(card.Driver.cublasSetMathMode(blas, 99), Is.EqualTo(7));
    }

    [TestCase(float.NaN, float.NaN)]
    [TestCase(float.PositiveInfinity, float.PositiveInfinity)]
    [TestCase(-1.00048828125f, -1.0009765625f)]
    [TestCase(3.4028235e38f, float.PositiveInfinity)]
    [TestCase(0f, 0f)]
    public void RoundingToTf32KeepsWhatIsNoOrdinaryNumber(float value, float rounded) =>
        Assert.That(BlasProduct.Rounded.Round(value), Is.EqualTo(rounded));

    [Test]
    public void ScalarsMayStandInDeviceMemory()
    {
        using var card = new TestCard();
        var blas = card.NewBlas();
        nint a = card.Upload(2), b = card.Upload(3), c = card.Upload(1), scalars = card.Upload(10, 100);
        TestCard.Ok(card.Driver.cublasSetPointerMode(blas, 1));
        TestCard.Ok(card.Driver.cublasSgemm(blas, 0, 0, 1, 1, 1, (float*)scalars, a, 1, b, 1, (float*)(scalars + 4), c, 1));
        Assert.That(card.Download(c, 1), Is.EqualTo(new[] { 160f }));
        Assert.That(card.Driver.cublasSetPointerMode(blas, 2), Is.EqualTo(7));
    }

    [Test]
    public void WorkspaceMustLiveAndASetStreamResetsIt()
    {
        using var card = new TestCard();
        var blas = card.NewBlas();
        nint a = card.Upload(2), b = card.Upload(3), c = card.Allocate(1);
        TestCard.Ok(card.Driver.cuMemAlloc(out var workspace, 1024));
        Assert.That(card.Driver.cublasSetWorkspace(blas, workspace + 4, 512), Is.EqualTo(7), "not aligned");
        TestCard.Ok(card.Driver.cublasSetWorkspace(blas, workspace, 1024));
        TestCard.Ok(card.Driver.cuMemFree(workspace));
        TestCard.Ok(card.Driver.cublasSetStream(blas, card.Stream));
        TestCard.Ok(Sgemm(card, blas, false, false, 1, 1, 1, 1, a, 1, b, 1, 0, c, 1));
        Assert.DoesNotThrow(card.Synchronise, "cuBLAS's own again");
        TestCard.Ok(card.Driver.cublasSetWorkspace(blas, workspace, 1024));
        TestCard.Ok(Sgemm(card, blas, false, false, 1, 1, 1, 1, a, 1, b, 1, 0, c, 1));
        Assert.That(() => card.Driver.cuStreamSynchronize(card.Stream), Throws.TypeOf<SimulationException>().With.Message.Contains("workspace"));
    }

    [Test]
    public void HandlesAreChecked()
    {
        using var card = new TestCard();
        var blas = card.NewBlas();
        Assert.That(card.Driver.cublasSetStream(0x7777_7777, card.Stream), Is.EqualTo(1));
        Assert.That(card.Driver.cublasSetStream(blas, 0x7777_7777), Is.EqualTo(7));
        TestCard.Ok(card.Driver.cublasCreate(out var brief));
        TestCard.Ok(card.Driver.cublasGetVersion(brief, out var version));
        Assert.That(version, Is.GreaterThan(0));
        TestCard.Ok(card.Driver.cublasDestroy(brief));
        Assert.That(() => card.Driver.cublasGetVersion(brief, out _), Throws.TypeOf<SimulationException>().With.Message.Contains("destroyed"));
    }

    [Test]
    public void AProductIsDeferredAndCounted()
    {
        using var card = new TestCard();
        var blas = card.NewBlas();
        nint a = card.Upload(new float[6]), b = card.Upload(new float[12]), c = card.Upload(new float[8]);
        TestCard.Ok(Sgemm(card, blas, false, true, 2, 4, 3, 1, a, 2, b, 4, 0, c, 2));
        TestCard.Ok(Sgemm(card, blas, false, true, 2, 4, 3, 1, a, 2, b, 4, 1, c, 2));
        Assert.That(card.Driver.Products, Is.Empty);
        card.Synchronise();
        var cost = card.Driver.Products.Single();
        Assert.Multiple(() =>
        {
            Assert.That((cost.TransA, cost.TransB, cost.M, cost.N, cost.K), Is.EqualTo((false, true, 2, 4, 3)));
            Assert.That((cost.Calls, cost.Flops), Is.EqualTo((2L, 2L * 2 * 24)));
            Assert.That((cost.ReadBytes, cost.WrittenBytes), Is.EqualTo((4L * ((2 * 18) + 8), 4L * 16)));
        });
    }

    private static int Sgemm(
        TestCard card, nint blas, bool transA, bool transB, int m, int n, int k, float alpha, nint a, int lda, nint b, int ldb, float beta, nint c, int ldc) =>
        card.Driver.cublasSgemm(blas, transA ? 1 : 0, transB ? 1 : 0, m, n, k, &alpha, a, lda, b, ldb, &beta, c, ldc);

    private static float[] Numbers(int which, int count) =>
        [.. Enumerable.Range(0, count).Select(i => (float)TinyDpo.Kernels.Philox.Normal(1, TinyDpo.Kernels.RandomPurpose.Test, 0, which, i))];
}
