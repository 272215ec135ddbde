namespace TinyDpo.Kernels;

public sealed partial class MeasuredBackend
{
    public void Unary(UnaryFunction f, DeviceBuffer x, DeviceBuffer y)
    {
        using var call = Measure($"Unary {f}", default, x.Length, Moved(2.0 * x.Length));
        inner.Unary(f, x, y);
    }

    public void UnaryBackward(UnaryFunction f, DeviceBuffer x, DeviceBuffer y, DeviceBuffer dy, DeviceBuffer dx, bool accumulate)
    {
        using var call = Measure($"Unary {f} backward", default, 2.0 * x.Length, Moved((3.0 + Written(accumulate)) * x.Length));
        inner.UnaryBackward(f, x, y, dy, dx, accumulate);
    }

    public void Binary(BinaryFunction f, DeviceBuffer a, DeviceBuffer b, DeviceBuffer y)
    {
        using var call = Measure($"Binary {f}", (a.Length, 0, 0), a.Length, Moved(3.0 * a.Length));
        inner.Binary(f, a, b, y);
    }

    public void BinaryBackwardFirst(BinaryFunction f, DeviceBuffer a, DeviceBuffer b, DeviceBuffer dy, DeviceBuffer da, bool accumulate)
    {
        using var call = Measure($"Binary {f} backward", (a.Length, 0, 0), a.Length, BinaryBackwardBytes(f, a, accumulate));
        inner.BinaryBackwardFirst(f, a, b, dy, da, accumulate);
    }

    public void BinaryBackwardSecond(BinaryFunction f, DeviceBuffer a, DeviceBuffer b, DeviceBuffer dy, DeviceBuffer db, bool accumulate)
    {
        using var call = Measure($"Binary {f} backward", (a.Length, 0, 0), a.Length, BinaryBackwardBytes(f, a, accumulate));
        inner.BinaryBackwardSecond(f, a, b, dy, db, accumulate);
    }

    public void Affine(DeviceBuffer x, Real scale, Real shift, DeviceBuffer y, bool accumulate)
    {
        using var call = Measure(nameof(Affine), (x.Length, 0, 0), 2.0 * x.Length, Moved((1.0 + Written(accumulate)) * x.Length));
        inner.Affine(x, scale, shift, y, accumulate);
    }

    public void SwiGlu(DeviceBuffer gate, DeviceBuffer up, DeviceBuffer y)
    {
        using var call = Measure(nameof(SwiGlu), (gate.Length, 0, 0), 5.0 * gate.Length, Moved(3.0 * gate.Length));
        inner.SwiGlu(gate, up, y);
    }

    public void SwiGluBackward(
        DeviceBuffer gate, DeviceBuffer up, DeviceBuffer dy, DeviceBuffer dGate, bool accumulateGate, DeviceBuffer dUp, bool accumulateUp)
    {
        using var call = Measure(
            nameof(SwiGluBackward), (gate.Length, 0, 0), 10.0 * gate.Length,
            Moved((3.0 + Written(accumulateGate) + Written(accumulateUp)) * gate.Length));
        inner.SwiGluBackward(gate, up, dy, dGate, accumulateGate, dUp, accumulateUp);
    }

    public void RmsNorm(DeviceBuffer x, DeviceBuffer weight, int rows, int columns, Real epsilon, DeviceBuffer y, DeviceBuffer reciprocal)
    {
        var n = (double)rows * columns;
        using var call = Measure(nameof(RmsNorm), (rows, columns, 0), 4 * n, Moved((2 * n) + columns + rows));
        inner.RmsNorm(x, weight, rows, columns, epsilon, y, reciprocal);
    }

    public void RmsNormBackwardInput(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer reciprocal, DeviceBuffer dy, int rows, int columns, DeviceBuffer dx, bool accumulate)
    {
        var n = (double)rows * columns;
        using var call = Measure(nameof(RmsNormBackwardInput), (rows, columns, 0), 7 * n, Moved(((2 + Written(accumulate)) * n) + columns + rows));
        inner.RmsNormBackwardInput(x, weight, reciprocal, dy, rows, columns, dx, accumulate);
    }

    public void RmsNormBackwardWeight(
        DeviceBuffer x, DeviceBuffer reciprocal, DeviceBuffer dy, int rows, int columns, DeviceBuffer dWeight, bool accumulate)
    {
        var n = (double)rows * columns;
        using var call = Measure(
            nameof(RmsNormBackwardWeight), (rows, columns, 0), 3 * n, Moved((2 * n) + rows + (Written(accumulate) * columns)));
        inner.RmsNormBackwardWeight(x, reciprocal, dy, rows, columns, dWeight, accumulate);
    }

    public void LayerNorm(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer bias, int rows, int columns, Real epsilon, DeviceBuffer y, DeviceBuffer mean,
        DeviceBuffer reciprocal)
    {
        var n = (double)rows * columns;
        using var call = Measure(nameof(LayerNorm), (rows, columns, 0), 8 * n, Moved((2 * n) + (2 * columns) + (2 * rows)));
        inner.LayerNorm(x, weight, bias, rows, columns, epsilon, y, mean, reciprocal);
    }

    public void LayerNormBackwardInput(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer mean, DeviceBuffer reciprocal, DeviceBuffer dy, int rows, int columns,
        DeviceBuffer dx, bool accumulate)
    {
        var n = (double)rows * columns;
        using var call = Measure(
            nameof(LayerNormBackwardInput), (rows, columns, 0), 11 * n, Moved(((2 + Written(accumulate)) * n) + columns + (2 * rows)));
        inner.LayerNormBackwardInput(x, weight, mean, reciprocal, dy, rows, columns, dx, accumulate);
    }

    public void LayerNormBackwardWeight(
        DeviceBuffer x, DeviceBuffer mean, DeviceBuffer reciprocal, DeviceBuffer dy, int rows, int columns, DeviceBuffer dWeight, bool accumulate)
    {
        var n = (double)rows * columns;
        using var call = Measure(
            nameof(LayerNormBackwardWeight), (rows, columns, 0), 4 * n, Moved((2 * n) + (2 * rows) + (Written(accumulate) * columns)));
        inner.LayerNormBackwardWeight(x, mean, reciprocal, dy, rows, columns, dWeight, accumulate);
    }

    /// <summary>A sum's derivative looks at neither input.</summary>
    private static double BinaryBackwardBytes(BinaryFunction f, DeviceBuffer a, bool accumulate)
    {
        var inputs = f is BinaryFunction.Add or BinaryFunction.Subtract ? 0.0 : 2;
        return Moved((inputs + 1 + Written(accumulate)) * a.Length);
    }
}
