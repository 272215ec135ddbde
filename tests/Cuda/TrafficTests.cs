using TinyDpo.Kernels;
using TinyDpo.Simulator;

namespace TinyDpo.Tests.Cuda;

/// <summary>
/// What the streaming kernels move at full rows, by the simulator's counters: at most 1.05 times the fewest bytes, in whole sectors, no
/// request in more sectors than its bytes fill, and no bank conflicts.
/// </summary>
public class TrafficTests() : KernelTests(CudaDevice.Simulated, counters: true)
{
    private const double Limit = 1.05;
    private const int SectorBytes = 32;

    [Test]
    public void ElementwiseKernelsMoveTheFewestBytes([Values] bool accumulate)
    {
        const int n = 32 * 1024;
        float[][] arrays = [.. Enumerable.Range(0, 5).Select(static which => DevicePair.Numbers(which, n))];
        Run(arrays, (backend, b) =>
        {
            foreach (var f in Enum.GetValues<UnaryFunction>())
            {
                backend.Unary(f, b[0], b[1]);
                backend.UnaryBackward(f, b[0], b[1], b[2], b[3], accumulate);
            }
            foreach (var f in Enum.GetValues<BinaryFunction>())
            {
                backend.Binary(f, b[0], b[1], b[3]);
                backend.BinaryBackwardFirst(f, b[0], b[1], b[2], b[3], accumulate);
                backend.BinaryBackwardSecond(f, b[0], b[1], b[2], b[3], accumulate);
            }
            backend.Affine(b[0], 2, 1, b[3], accumulate);
            backend.SwiGlu(b[0], b[1], b[3]);
            backend.SwiGluBackward(b[0], b[1], b[2], b[3], accumulate, b[4], accumulate);
            backend.SumBackward(b[0], 2, b[3], accumulate);
            backend.Sum(b[0], 1, b[3]);
        });
    }

    [Test]
    public void OptimisersMoveTheFewestBytes()
    {
        float[][] arrays = [.. Enumerable.Range(0, 4).Select(static which => DevicePair.Numbers(which, 32 * 1024).Select(MathF.Abs).ToArray())];
        Run(arrays, static (backend, b) =>
        {
            backend.AdamW(b[0], b[1], 1, b[2], b[3], new AdamWStep(1e-3f, 0.9f, 0.999f, 1e-8f, 0, 0.1f, 0.001f));
            backend.Sgd(b[0], b[1], 1, null, 0.1f, 0);
            backend.Sgd(b[0], b[1], 1, b[2], 0.1f, 0.9f);
            backend.RmsProp(b[0], b[1], 1, b[3], 0.1f, 0.9f, 1e-8f);
            backend.SumOfSquares(b[1]);
        });
    }

    /// <summary>Rows for the kernel of a warp and that of a block; weights are needed once.</summary>
    [TestCase(2048, 512)]
    [TestCase(1024, 2048)]
    [TestCase(1024, 8192)]
    [TestCase(511, 512)]
    [TestCase(49, 2048)]
    public void NormsMoveTheFewestBytes(int rows, int columns)
    {
        var n = rows * columns;
        float[] x = DevicePair.Numbers(1, 4096), matrix = [.. Enumerable.Range(0, n).Select(i => x[i * 7 % 4096])];
        Run([matrix, matrix, matrix, matrix[..columns], matrix[..columns], new float[columns], new float[rows], new float[rows]], (backend, b) =>
        {
            backend.RmsNorm(b[0], b[3], rows, columns, 1e-5f, b[1], b[6]);
            backend.RmsNormBackwardInput(b[0], b[3], b[6], b[1], rows, columns, b[2], accumulate: false);
            backend.RmsNormBackwardInput(b[0], b[3], b[6], b[1], rows, columns, b[2], accumulate: true);
            backend.RmsNormBackwardWeight(b[0], b[6], b[1], rows, columns, b[5], accumulate: false);
            backend.LayerNorm(b[0], b[3], b[4], rows, columns, 1e-5f, b[1], b[6], b[7]);
            backend.LayerNormBackwardInput(b[0], b[3], b[6], b[7], b[1], rows, columns, b[2], accumulate: false);
            backend.LayerNormBackwardWeight(b[0], b[6], b[7], b[1], rows, columns, b[5], accumulate: false);
        });
    }

    [TestCase(256, 1024)]
    [TestCase(64, 8192)]
    [TestCase(33, 1024)]
    public void LogProbsAndRowsMoveTheFewestBytes(int rows, int columns)
    {
        float[] x = DevicePair.Numbers(1, 4096), matrix = [.. Enumerable.Range(0, rows * columns).Select(i => x[i * 7 % 4096])];
        int[] index = [.. Enumerable.Range(0, rows).Select(r => r * 5 % rows)];
        Run([matrix, matrix, new float[rows], new float[rows], x[..Math.Min(columns, 4096)], matrix[..columns]], (backend, b) =>
        {
            var indices = DevicePair.Indices(backend, index);
            backend.LogSoftmaxGather(b[0], indices, 0, rows, columns, b[2], b[3]);
            backend.GatherRows(b[0], indices, 0, rows, columns, b[1]);
            backend.AddBias(b[1], b[5], rows, columns);
            backend.RowKl(b[0], b[1], rows, columns, b[3], 0);
            backend.LogSoftmaxGatherBackward(b[0], indices, 0, rows, columns, b[3], b[2]);
            backend.ColumnSum(b[0], rows, columns, b[1], accumulate: false);
        });
    }

    /// <summary>The row that a token is drawn from is read once, however often it is searched.</summary>
    [TestCase(0, 1.0)]
    [TestCase(40, 1.0)]
    [TestCase(0, 0.9)]
    public void SamplingMovesTheFewestBytes(int topK, double topP)
    {
        const int rows = 8, words = 8192;
        int[] ids = [.. Enumerable.Range(0, rows)];
        Run([DevicePair.Numbers(1, rows * words)], (backend, b) => backend.Sample(
            b[0], rows, words, new SamplingOptions(1, topK, topP), 1, DevicePair.Indices(backend, ids), DevicePair.Indices(backend, ids),
            DevicePair.Indices(backend, ids)));
    }

    /// <summary>What lanes of one request name together is needed once: needed bytes are never more than those moved.</summary>
    [Test]
    public void RowsThatAreNamedTogetherAreNeededOnce()
    {
        const int rows = 64, heads = 2, size = 16;
        int[] index = [.. Enumerable.Range(0, rows).Select(static r => r % 3)], positions = [.. Enumerable.Range(0, rows).Select(static r => r / 4)];
        var x = DevicePair.Numbers(1, rows * heads * size);
        Run([x, x, x], (backend, b) =>
        {
            backend.GatherRows(b[0], DevicePair.Indices(backend, index), 0, rows, 8, b[2]);
            backend.Rotary(b[0], DevicePair.Indices(backend, positions), b[1], b[1], rows, heads, size, false, false, b[2], false);
        });
    }

    private void Run(float[][] arrays, Action<IBackend, DeviceBuffer[]> call)
    {
        Devices.TakeCounters();
        DevicePair.Run(Devices.Cuda, 0, arrays, call);
        var counters = Devices.TakeCounters();
        Assert.That(counters, Is.Not.Empty);
        Assert.Multiple(() =>
        {
            foreach (var (kernel, c) in counters)
            {
                TestContext.Out.WriteLine($"{kernel}: {Ratio(c):F4}");
                Assert.That(Ratio(c), Is.InRange(1.0, Limit), $"{kernel}: bytes moved by bytes needed");
                Assert.That(c.ReadSectors, Is.EqualTo(c.IdealReadSectors), $"{kernel}: sectors read");
                Assert.That(c.WriteSectors, Is.EqualTo(c.IdealWriteSectors), $"{kernel}: sectors written");
                Assert.That(c.BankConflicts, Is.Zero, $"{kernel}: bank conflicts");
            }
        });
    }

    private static double Ratio(LaunchCounters c) =>
        (double)((c.ReadSectors + c.WriteSectors) * SectorBytes) / (c.NeededReadBytes + c.NeededWrittenBytes);
}
