namespace TinyDpo.Kernels;

public sealed partial class MeasuredBackend
{
    public void Gemm(
        bool transA, bool transB, int m, int n, int k, Real alpha, DeviceBuffer a, DeviceBuffer b, bool accumulate, DeviceBuffer c,
        DeviceBuffer? addend)
    {
        var written = Written(accumulate || addend is not null) * m * n;
        using var call = Measure(GemmName(transA, transB), (m, n, k), 2.0 * m * n * k, Moved(((double)m * k) + ((double)k * n) + written));
        inner.Gemm(transA, transB, m, n, k, alpha, a, b, accumulate, c, addend);
    }

    internal static string GemmName(bool transA, bool transB) => $"Gemm A{(transA ? "^T" : "")} B{(transB ? "^T" : "")}";

    public void KeepPacked(DeviceBuffer b, int n, int k)
    {
        using var call = Measure(nameof(KeepPacked), (n, k, 0), 0, Moved(2.0 * n * k));
        inner.KeepPacked(b, n, k);
    }

    public void AddBias(DeviceBuffer y, DeviceBuffer bias, int rows, int columns)
    {
        var n = (double)rows * columns;
        using var call = Measure(nameof(AddBias), (rows, columns, 0), n, Moved((2 * n) + columns));
        inner.AddBias(y, bias, rows, columns);
    }

    public void ColumnSum(DeviceBuffer x, int rows, int columns, DeviceBuffer sum, bool accumulate)
    {
        var n = (double)rows * columns;
        using var call = Measure(nameof(ColumnSum), (rows, columns, 0), n, Moved(n + (Written(accumulate) * columns)));
        inner.ColumnSum(x, rows, columns, sum, accumulate);
    }

    public void GatherRows(DeviceBuffer table, IndexBuffer index, int from, int count, int columns, DeviceBuffer y)
    {
        using var call = Measure(nameof(GatherRows), (count, columns, 0), 0, Moved(((2.0 * columns) + 1) * count));
        inner.GatherRows(table, index, from, count, columns, y);
    }

    public void ScatterAddRows(DeviceBuffer y, IndexBuffer index, int from, int count, int columns, DeviceBuffer table, int tableRows, bool accumulate)
    {
        var n = (double)count * columns;
        var bytes = Moved(n + count + (accumulate ? 2 * n : (double)tableRows * columns));
        using var call = Measure(nameof(ScatterAddRows), (count, columns, tableRows), n, bytes);
        inner.ScatterAddRows(y, index, from, count, columns, table, tableRows, accumulate);
    }

    public void Sum(DeviceBuffer x, Real scale, DeviceBuffer sum)
    {
        using var call = Measure(nameof(Sum), default, x.Length, Moved(x.Length));
        inner.Sum(x, scale, sum);
    }

    public void SumBackward(DeviceBuffer dSum, Real scale, DeviceBuffer dx, bool accumulate)
    {
        using var call = Measure(nameof(SumBackward), default, dx.Length, Moved(Written(accumulate) * dx.Length));
        inner.SumBackward(dSum, scale, dx, accumulate);
    }

    public void SegmentSum(DeviceBuffer x, IndexBuffer offsets, DeviceBuffer sum)
    {
        using var call = Measure(nameof(SegmentSum), (x.Length, 0, 0), x.Length, Moved(x.Length + sum.Length));
        inner.SegmentSum(x, offsets, sum);
    }

    public void SegmentSumBackward(DeviceBuffer dSum, IndexBuffer offsets, DeviceBuffer dx, bool accumulate)
    {
        using var call = Measure(nameof(SegmentSumBackward), (dx.Length, 0, 0), 0, Moved((Written(accumulate) * dx.Length) + dSum.Length));
        inner.SegmentSumBackward(dSum, offsets, dx, accumulate);
    }

    public double SumOfSquares(DeviceBuffer x)
    {
        using var call = Measure(nameof(SumOfSquares), (x.Length, 0, 0), 2.0 * x.Length, Moved(x.Length));
        return inner.SumOfSquares(x);
    }

    public void AdamW(DeviceBuffer parameter, DeviceBuffer gradient, Real gradientScale, DeviceBuffer m, DeviceBuffer v, AdamWStep step)
    {
        using var call = Measure(nameof(AdamW), (parameter.Length, 0, 0), 15.0 * parameter.Length, Moved(7.0 * parameter.Length));
        inner.AdamW(parameter, gradient, gradientScale, m, v, step);
    }

    public void Sgd(DeviceBuffer parameter, DeviceBuffer gradient, Real gradientScale, DeviceBuffer? velocity, Real learningRate, Real momentum)
    {
        using var call = Measure(nameof(Sgd), (parameter.Length, 0, 0), 3.0 * parameter.Length, Moved((velocity is null ? 3.0 : 5.0) * parameter.Length));
        inner.Sgd(parameter, gradient, gradientScale, velocity, learningRate, momentum);
    }

    public void RmsProp(
        DeviceBuffer parameter, DeviceBuffer gradient, Real gradientScale, DeviceBuffer square, Real learningRate, Real alpha, Real epsilon)
    {
        using var call = Measure(nameof(RmsProp), (parameter.Length, 0, 0), 9.0 * parameter.Length, Moved(5.0 * parameter.Length));
        inner.RmsProp(parameter, gradient, gradientScale, square, learningRate, alpha, epsilon);
    }

    /// <summary>How often an output element is moved: adding to it reads it too.</summary>
    private static int Written(bool accumulate) => accumulate ? 2 : 1;
}
