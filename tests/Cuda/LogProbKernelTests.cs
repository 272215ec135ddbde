using TinyDpo.Kernels;

namespace TinyDpo.Tests.Cuda;

[TestFixture(CudaDevice.Simulated)]
[TestFixture(CudaDevice.Card, Category = "Gpu")]
public class LogProbKernelTests(CudaDevice device) : KernelTests(device)
{
    private static readonly (int Rows, int Words)[] s_shapes =
        [(0, 5), (1, 1), (9, 31), (10, 33), (17, 512), (3, 1000), (2, 1024), (2, 1025), (3, 8191), (2, 32_000)];

    [Test]
    public void LogProbsAreTheDefinition([ValueSource(nameof(s_shapes))] (int Rows, int Words) shape, [Values(0, 1)] int offset)
    {
        var (rows, words) = shape;
        float[] logits = [.. DevicePair.Numbers(1, rows * words).Select(static v => 6 * v)];
        var targets = Targets(rows, words);
        var results = Gather(Devices.Cuda, offset, logits, targets, words);
        for (var r = 0; r < rows; r++)
        {
            var row = logits.AsSpan(r * words, words);
            var exact = LogSumExp(row);
            Assert.That(results[2][2 + r], Is.EqualTo(exact).Within(Tolerance(exact, words)), $"log-sum-exp {r}");
            Assert.That(results[1][2 + r], Is.EqualTo(row[targets[2 + r]] - results[2][2 + r]), $"log-prob {r}");
        }
    }

    [Test]
    public void ARowsBitsDependNeitherOnTheBatchNorOnItsAddress([Values(512, 33, 4096, 8191)] int words)
    {
        var row = DevicePair.Numbers(1, words);
        float[] batch = [.. DevicePair.Numbers(2, 19 * words), .. row];
        var alone = Gather(Devices.Cuda, 3, row, [0, 0, 7], words);
        var together = Gather(Devices.Cuda, 0, batch, [0, 0, .. Enumerable.Repeat(7, 20)], words);
        Assert.That(together[2][^1], Is.EqualTo(alone[2][^1]));
    }

    /// <summary>The gradient given the same log-sum-exps is elementwise: it has the CPU's bits.</summary>
    [Test]
    public void TheGradientHasTheBitsOfTheCpu([ValueSource(nameof(s_shapes))] (int Rows, int Words) shape, [Values(0, 1)] int offset)
    {
        var (rows, words) = shape;
        var targets = Targets(rows, words);
        float[] logSumExp = [.. DevicePair.Numbers(2, rows + 2).Select(static v => v + 3)];
        Devices.RequireSameBits(
            offset, [DevicePair.SpecialNumbers(1, rows * words), logSumExp, DevicePair.Numbers(3, rows + 2)],
            (backend, b) => backend.LogSoftmaxGatherBackward(b[0], DevicePair.Indices(backend, targets), 2, rows, words, b[1], b[2]));
    }

    [TestCase(new[] { 1f, float.NaN, 2 })]
    [TestCase(new[] { 1f, float.PositiveInfinity, 2 })]
    [TestCase(new[] { float.PositiveInfinity, float.PositiveInfinity, 2 })]
    [TestCase(new[] { float.NegativeInfinity, float.NegativeInfinity, float.NegativeInfinity })]
    [TestCase(new[] { float.NegativeInfinity, 3f, float.NegativeInfinity })]
    [TestCase(new[] { 1000f, 1000, -1000 })]
    [TestCase(new[] { float.MaxValue, float.MinValue, 0 })]
    public void WhatIsNotFiniteShowsAsOnTheCpu(float[] few)
    {
        foreach (var words in new[] { 3, 40, 2000 })
        {
            float[] logits = [.. few, .. Enumerable.Repeat(few[^1], words - 3)];
            var expected = Gather(Devices.Cpu, 0, logits, [0, 0, 0], words)[2][2];
            var actual = Gather(Devices.Cuda, 0, logits, [0, 0, 0], words)[2][2];
            Assert.That(actual, Is.EqualTo(expected).Within(float.IsFinite(expected) ? 4 : 0).Ulps, $"{words} words");
        }
    }

    [Test]
    public void TheDivergenceIsTheDefinition([ValueSource(nameof(s_shapes))] (int Rows, int Words) shape, [Values(0, 1)] int offset)
    {
        var (rows, words) = shape;
        float[] p = [.. DevicePair.Numbers(1, rows * words).Select(static v => 3 * v)];
        float[] q = [.. p.Zip(DevicePair.Numbers(2, p.Length), static (a, b) => a + (0.5f * b))];
        var kl = DevicePair.Run(
            Devices.Cuda, offset, [p, q, new float[rows + 1]], (backend, b) => backend.RowKl(b[0], b[1], rows, words, b[2], 1))[2];
        for (var r = 0; r < rows; r++)
        {
            ReadOnlySpan<float> rowP = p.AsSpan(r * words, words), rowQ = q.AsSpan(r * words, words);
            double logP = LogSumExp(rowP), logQ = LogSumExp(rowQ), exact = 0;
            for (var j = 0; j < words; j++)
            {
                exact += Math.Exp(rowP[j] - logP) * (rowP[j] - logP - (rowQ[j] - logQ));
            }

            // A term's difference of log-probs is good to a few ulp of the log-sum-exps, and the probabilities add up to 1.
            Assert.That(kl[r + 1], Is.EqualTo(exact).Within(4 * Tolerance(logP, words)), $"row {r}");
        }
    }

    /// <summary>Rows that differ little, whatever is added to one of them, and rows whose largest numbers stand apart and late.</summary>
    [TestCase(0f, 0.01f, 0f)]
    [TestCase(500f, 0.01f, 0f)]
    [TestCase(-500f, 0f, 0f)]
    [TestCase(0f, 0.5f, 90f)]
    public void TheDivergenceOfOnePassKeepsItsDigits(float shift, float noise, float late)
    {
        foreach (var words in new[] { 5, 1000, 6000 })
        {
            // Multiples of 2^-10 below 2^10: adding the shift rounds nothing.
            float[] p = [.. DevicePair.Numbers(1, words).Select(static v => MathF.Round(3 * v * 1024) / 1024)];
            float[] q = [.. p.Zip(DevicePair.Numbers(2, words), (a, b) => a + shift + (MathF.Round(noise * b * 1024) / 1024))];
            p[^1] += late;
            q[^2] += late;
            var kl = DevicePair.Run(Devices.Cuda, 0, [p, q, new float[1]], (backend, b) => backend.RowKl(b[0], b[1], 1, words, b[2], 0))[2][0];
            double logP = LogSumExp(p), logQ = LogSumExp(q);
            var exact = p.Zip(q, (a, b) => Math.Exp(a - logP) * (a - logP - (b - logQ))).Sum();
            Assert.That(kl, Is.EqualTo(exact).Within(Tolerance(exact + Math.Log(words), words)), $"{words} words");
            if (noise == 0)
            {
                Assert.That(kl, Is.Zero, "the same distribution");
            }
        }
    }

    [Test]
    public void ADivergenceThatIsNotFiniteShowsAsOnTheCpu()
    {
        const float infinity = float.PositiveInfinity;
        foreach (var (a, b) in new[] { (-infinity, -infinity), (1, -infinity), (-infinity, 1), (infinity, 1), (1, infinity), (float.NaN, 1), (1, float.NaN) })
        {
            foreach (var words in new[] { 3, 40, 2000 })
            {
                float[] p = [.. Enumerable.Repeat(0f, words - 1), a], q = [.. Enumerable.Repeat(0f, words - 1), b];
                float On(IBackend backend) => DevicePair.Run(backend, 0, [p, q, new float[1]], (d, x) => d.RowKl(x[0], x[1], 1, words, x[2], 0))[2][0];
                Assert.That(On(Devices.Cuda), Is.EqualTo(On(Devices.Cpu)), $"{a} and {b} at the end of {words} words");
            }
        }
    }

    [Test]
    public void ABadTargetIsRefusedOnTheHost()
    {
        using var scope = new MemoryScope(Devices.Cuda);
        var memory = Devices.Cuda.Memory;
        var targets = DevicePair.Indices(Devices.Cuda, [0, 5]);
        Assert.Throws<ArgumentException>(() => Devices.Cuda.LogSoftmaxGather(memory.Rent(10), targets, 0, 2, 5, memory.Rent(2), memory.Rent(2)));
    }

    private static float[][] Gather(IBackend backend, int offset, float[] logits, int[] targets, int words) => DevicePair.Run(
        backend, offset, [logits, new float[targets.Length], new float[targets.Length]],
        (b, arrays) => b.LogSoftmaxGather(
            arrays[0], DevicePair.Indices(b, targets), 2, targets.Length - 2, words, arrays[1], arrays[2]));

    // Two entries that belong to others stand before the rows' own.
    private static int[] Targets(int rows, int words) => [0, 0, .. Enumerable.Range(0, rows).Select(r => r * 37 % words)];

    private static double LogSumExp(ReadOnlySpan<float> row)
    {
        double max = float.NegativeInfinity, sum = 0;
        foreach (var z in row)
        {
            max = Math.Max(max, z);
        }
        foreach (var z in row)
        {
            sum += Math.Exp(z - max);
        }
        return max + Math.Log(sum);
    }

    // Roundings of the sum (an exp of 0.9 ulp, up to 16 + log2 n additions, as many changes of scale) are relative to it, so absolute in its
    // logarithm; then the logarithm's own ulp, and the addition's.
    private static double Tolerance(double logSumExp, int words) => Math.Pow(2, -24) * (24 + (2 * Math.Log2(words + 1)) + (4 * Math.Abs(logSumExp)));
}
