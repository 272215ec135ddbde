using TinyDpo.Kernels;

namespace TinyDpo.Tests.Cuda;

[TestFixture(CudaDevice.Simulated)]
[TestFixture(CudaDevice.Card, Category = "Gpu")]
public class ReductionKernelTests(CudaDevice device) : KernelTests(device)
{
    private static readonly int[] s_sizes = [0, 1, 31, 33, 1000, 8191, 70_001];
    private static readonly (int Rows, int Columns)[] s_shapes = [(0, 5), (5, 0), (1, 1), (8191, 1), (31, 33), (1000, 12), (129, 260), (20_000, 3)];

    [Test]
    public void ASumIsExactToAFewRoundingsOfItsTree([ValueSource(nameof(s_sizes))] int n, [Values(0, 1)] int offset)
    {
        var x = DevicePair.Numbers(1, n);
        var actual = DevicePair.Run(Devices.Cuda, offset, [x, [float.NaN]], static (backend, b) => backend.Sum(b[0], 0.5f, b[1]))[1][0];
        RequireClose(actual, 0.5 * x.Sum(static v => (double)v), 0.5 * x.Sum(static v => Math.Abs((double)v)), n, $"the sum of {n}");
    }

    [Test]
    public void ASumDoesNotDependOnTheAddress()
    {
        var x = DevicePair.Numbers(1, 8191);
        var results = Enumerable.Range(0, 4).Select(
            offset => DevicePair.Run(Devices.Cuda, offset, [x, [0]], static (backend, b) => backend.Sum(b[0], 1, b[1]))[1][0]).Distinct();
        Assert.That(results.Count(), Is.EqualTo(1));
    }

    [Test]
    public void TheGradientOfASumHasTheBitsOfTheCpu([ValueSource(nameof(s_sizes))] int n, [Values(0, 1)] int offset, [Values] bool accumulate) =>
        Devices.RequireSameBits(
            offset, [[0.3f], DevicePair.SpecialNumbers(1, n)], (backend, b) => backend.SumBackward(b[0], 0.7f, b[1], accumulate));

    [TestCase]
    [TestCase(0)]
    [TestCase(1)]
    [TestCase(0, 0, 5, 0)]
    [TestCase(33, 1, 0, 1000, 31, 0, 7, 2, 64)]
    public void SegmentsAreSummedEachByItself(params int[] lengths)
    {
        int[] offsets = [0, .. lengths.Select((_, s) => lengths[..(s + 1)].Sum())];
        var x = DevicePair.Numbers(1, offsets[^1]);
        var sums = DevicePair.Run(
            Devices.Cuda, 1, [x, DevicePair.Numbers(2, lengths.Length)],
            (backend, b) => backend.SegmentSum(b[0], DevicePair.Indices(backend, offsets), b[1]))[1];
        for (var s = 0; s < lengths.Length; s++)
        {
            var part = x[offsets[s]..offsets[s + 1]];
            RequireClose(sums[s], part.Sum(static v => (double)v), part.Sum(static v => Math.Abs((double)v)), part.Length, $"segment {s}");
        }
        foreach (var accumulate in new[] { false, true })
        {
            Devices.RequireSameBits(
                1, [DevicePair.Numbers(3, lengths.Length), DevicePair.SpecialNumbers(4, x.Length)],
                (backend, b) => backend.SegmentSumBackward(b[0], DevicePair.Indices(backend, offsets), b[1], accumulate));
        }
    }

    [Test]
    public void ASegmentsSumDoesNotDependOnItsPlace()
    {
        var x = DevicePair.Numbers(1, 777);
        float[] twice = [1, .. x, 2, 3, .. x];
        var sums = DevicePair.Run(
            Devices.Cuda, 0, [twice, new float[4]],
            static (backend, b) => backend.SegmentSum(b[0], DevicePair.Indices(backend, [0, 1, 778, 780, 1557]), b[1]))[1];
        Assert.That(sums[3], Is.EqualTo(sums[1]));
    }

    [Test]
    public void SegmentsThatDoNotCoverTheNumbersAreRefused()
    {
        using var scope = new MemoryScope(Devices.Cuda);
        var x = Devices.Cuda.Memory.Rent(5);
        var offsets = DevicePair.Indices(Devices.Cuda, [0, 3]);
        Assert.Throws<ArgumentException>(() => Devices.Cuda.SegmentSum(x, offsets, x));
        Assert.Throws<ArgumentException>(() => Devices.Cuda.SegmentSumBackward(x, offsets, x, accumulate: true));
    }

    [Test]
    public void ColumnsAreSummed([ValueSource(nameof(s_shapes))] (int Rows, int Columns) shape, [Values(0, 1)] int offset, [Values] bool accumulate)
    {
        var (rows, columns) = shape;
        float[] x = DevicePair.Numbers(1, rows * columns), old = DevicePair.Numbers(2, columns);
        var sums = DevicePair.Run(Devices.Cuda, offset, [x, old], (backend, b) => backend.ColumnSum(b[0], rows, columns, b[1], accumulate))[1];
        for (var j = 0; j < columns; j++)
        {
            double start = accumulate ? old[j] : 0, sum = start, absolute = Math.Abs(start);
            for (var r = 0; r < rows; r++)
            {
                sum += x[(r * columns) + j];
                absolute += Math.Abs(x[(r * columns) + j]);
            }
            RequireClose(sums[j], sum, absolute, rows, $"column {j}");
        }
    }

    [Test]
    public void SquaresAreSummedInDouble([ValueSource(nameof(s_sizes))] int n, [Values(0, 1)] int offset)
    {
        var x = DevicePair.Numbers(1, n);
        double actual = 0;
        DevicePair.Run(Devices.Cuda, offset, [x], (backend, b) => actual = backend.SumOfSquares(b[0]));
        var exact = x.Sum(static v => (double)v * v);
        Assert.That(actual, Is.EqualTo(exact).Within(n * Math.Pow(2, -53) * exact));
    }

    [TestCase(float.NaN)]
    [TestCase(float.NegativeInfinity)]
    public void WhatIsNotFiniteShowsInASum(float bad)
    {
        var x = DevicePair.Numbers(1, 10_000);
        x[9_999] = bad;
        float[] sum = [];
        double squares = 0;
        DevicePair.Run(Devices.Cuda, 0, [x, [0]], (backend, b) =>
        {
            backend.Sum(b[0], 1, b[1]);
            sum = DevicePair.Download(backend, b[1]);
            squares = backend.SumOfSquares(b[0]);
        });
        Assert.That(float.IsFinite(sum[0]), Is.False);
        Assert.That(double.IsFinite(squares), Is.False);
    }

    /// <summary>
    /// A term takes part in so many roundings of at most 2^-24 of the sum of absolute values: 16 where a thread adds its numbers one after
    /// the other and log2 n in trees, and a few for scale and old value.
    /// </summary>
    private static void RequireClose(float actual, double exact, double absolute, int terms, string what) =>
        Assert.That(actual, Is.EqualTo(exact).Within((20 + Math.Log2(terms + 1)) * Math.Pow(2, -24) * absolute), what);
}
