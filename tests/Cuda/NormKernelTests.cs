using TinyDpo.Kernels;

namespace TinyDpo.Tests.Cuda;

/// <summary>Rows for the kernels of a warp (up to 1024 columns), of a block (up to 8192) and of long rows, with packs of 4 and of 1.</summary>
[TestFixture(CudaDevice.Simulated)]
[TestFixture(CudaDevice.Card, Category = "Gpu")]
public class NormKernelTests(CudaDevice device) : KernelTests(device)
{
    private const float Epsilon = 1e-5f;

    private static readonly (int Rows, int Columns)[] s_shapes =
        [(0, 8), (1, 1), (9, 31), (33, 64), (5, 1000), (3, 1024), (2, 1025), (3, 4096), (2, 5889), (2, 8191), (9, 8192), (2, 8193), (2, 9000), (1030, 4)];

    /// <summary>The reciprocals to a few roundings of a sum; then the rows have the bits that the CPU's formula gives with them.</summary>
    [Test]
    public void RmsNormIsTheDefinition([ValueSource(nameof(s_shapes))] (int Rows, int Columns) shape, [Values(0, 1)] int offset)
    {
        var (rows, columns) = shape;
        float[] x = DevicePair.Numbers(1, rows * columns), weight = DevicePair.Numbers(2, columns);
        var results = DevicePair.Run(
            Devices.Cuda, offset, [x, weight, new float[x.Length], new float[rows]],
            (backend, b) => backend.RmsNorm(b[0], b[1], rows, columns, Epsilon, b[2], b[3]));
        var expected = new float[x.Length];
        for (var r = 0; r < rows; r++)
        {
            var row = x.AsSpan(r * columns, columns);
            double squares = 0;
            for (var j = 0; j < columns; j++)
            {
                squares += (double)row[j] * row[j];
                expected[(r * columns) + j] = row[j] * results[3][r] * weight[j];
            }
            RequireClose(results[3][r], 1 / Math.Sqrt((squares / columns) + Epsilon), columns, $"reciprocal {r}");
        }
        DevicePair.RequireSameBits(expected, results[2], "y");
    }

    [Test]
    public void LayerNormIsTheDefinition([ValueSource(nameof(s_shapes))] (int Rows, int Columns) shape, [Values(0, 1)] int offset)
    {
        var (rows, columns) = shape;
        float[] x = DevicePair.Numbers(1, rows * columns), weight = DevicePair.Numbers(2, columns), bias = DevicePair.Numbers(3, columns);
        var results = DevicePair.Run(
            Devices.Cuda, offset, [x, weight, bias, new float[x.Length], new float[rows], new float[rows]],
            (backend, b) => backend.LayerNorm(b[0], b[1], b[2], rows, columns, Epsilon, b[3], b[4], b[5]));
        var expected = new float[x.Length];
        for (var r = 0; r < rows; r++)
        {
            var row = x.AsSpan(r * columns, columns);
            double sum = 0, absolute = 0, squares = 0;
            foreach (var value in row)
            {
                sum += value;
                absolute += Math.Abs(value);
            }
            for (var j = 0; j < columns; j++)
            {
                squares += Math.Pow(row[j] - (sum / columns), 2);
                var normal = (row[j] - results[4][r]) * results[5][r];
                expected[(r * columns) + j] = (normal * weight[j]) + bias[j];
            }
            Assert.That(results[4][r], Is.EqualTo(sum / columns).Within(Roundings(columns) * absolute / columns), $"mean {r}");
            RequireClose(results[5][r], 1 / Math.Sqrt((squares / columns) + Epsilon), columns, $"reciprocal {r}");
        }
        DevicePair.RequireSameBits(expected, results[3], "y");
    }

    [Test]
    public void GradientsAreThoseOfTheCpu(
        [ValueSource(nameof(s_shapes))] (int Rows, int Columns) shape, [Values(0, 1)] int offset, [Values] bool accumulate)
    {
        var (rows, columns) = shape;
        var n = rows * columns;
        float[] x = DevicePair.Numbers(1, n), weight = DevicePair.Numbers(2, columns), dy = DevicePair.Numbers(3, n), dx = DevicePair.Numbers(4, n);
        float[] dWeight = DevicePair.Numbers(5, columns), mean = DevicePair.Numbers(6, rows);
        float[] reciprocal = [.. DevicePair.Numbers(7, rows).Select(static v => 1 + (0.1f * v))];

        // Products of normal numbers are below 64 here; a sum of n of them is about 64 sqrt(n) at the most, and both devices round on the way.
        RequireAlike(
            columns, [x, weight, reciprocal, dy, dx],
            (backend, b) => backend.RmsNormBackwardInput(b[0], b[1], b[2], b[3], rows, columns, b[4], accumulate));
        RequireAlike(
            columns, [x, weight, mean, reciprocal, dy, dx],
            (backend, b) => backend.LayerNormBackwardInput(b[0], b[1], b[2], b[3], b[4], rows, columns, b[5], accumulate));
        RequireAlike(
            rows, [x, reciprocal, dy, dWeight],
            (backend, b) => backend.RmsNormBackwardWeight(b[0], b[1], b[2], rows, columns, b[3], accumulate));
        RequireAlike(
            rows, [x, mean, reciprocal, dy, dWeight],
            (backend, b) => backend.LayerNormBackwardWeight(b[0], b[1], b[2], b[3], rows, columns, b[4], accumulate));

        void RequireAlike(int terms, float[][] arrays, Action<IBackend, DeviceBuffer[]> call)
        {
            var expected = DevicePair.Run(Devices.Cpu, offset, arrays, call)[^1];
            var actual = DevicePair.Run(Devices.Cuda, offset, arrays, call)[^1];
            Assert.That(actual, Is.EqualTo(expected).Within(64 * Math.Sqrt(terms + 1) * Roundings(terms)));
        }
    }

    [Test]
    public void ARowsBitsDependNeitherOnTheBatchNorOnItsAddress([Values(64, 1000, 33, 2048)] int columns)
    {
        float[] row = DevicePair.Numbers(1, columns), weight = DevicePair.Numbers(2, columns);
        float[] batch = [.. DevicePair.Numbers(3, 39 * columns), .. row];
        var alone = Norm(3, row, 1);
        var together = Norm(0, batch, 40)[^columns..];
        DevicePair.RequireSameBits(alone, together, "the last row of 40");

        float[] Norm(int offset, float[] x, int rows) => DevicePair.Run(
            Devices.Cuda, offset, [x, weight, new float[x.Length], new float[rows]],
            (backend, b) => backend.RmsNorm(b[0], b[1], rows, columns, Epsilon, b[2], b[3]))[2];
    }

    [Test]
    public void ANanStaysInItsRow()
    {
        var x = DevicePair.Numbers(1, 3 * 40);
        x[50] = float.NaN;
        var y = DevicePair.Run(
            Devices.Cuda, 0, [x, DevicePair.Numbers(2, 40), new float[120], new float[3]],
            static (backend, b) => backend.RmsNorm(b[0], b[1], 3, 40, Epsilon, b[2], b[3]))[2];
        Assert.That(y.Select(float.IsNaN), Is.EqualTo(Enumerable.Range(0, 120).Select(static i => i / 40 == 1)));
    }

    private static void RequireClose(float actual, double exact, int terms, string what) =>
        Assert.That(actual, Is.EqualTo(exact).Within(Roundings(terms) * exact), what);

    // 32 numbers one after the other at the most (36 in the long rows here), a tree, division, root and reciprocal.
    private static double Roundings(int terms) => (40 + Math.Log2(terms + 1)) * Math.Pow(2, -24);
}
