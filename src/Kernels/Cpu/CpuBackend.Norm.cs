using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

public sealed unsafe partial class CpuBackend
{
    public void RmsNorm(DeviceBuffer x, DeviceBuffer weight, int rows, int columns, Real epsilon, DeviceBuffer y, DeviceBuffer reciprocal)
    {
        RequireLength(x, (long)rows * columns);
        RequireLength(weight, columns);
        RequireLength(y, (long)rows * columns);
        RequireLength(reciprocal, rows);
        var state = (x: (Ptr)Data(x), w: (Ptr)Data(weight), y: (Ptr)Data(y), r: (Ptr)Data(reciprocal), columns, epsilon);
        _team.For(rows, RowGrain(columns), state, static (s, from, to) =>
        {
            Real* w = s.w, reciprocal = s.r;
            for (var row = from; row < to; row++)
            {
                Real* x = s.x + ((long)row * s.columns), y = s.y + ((long)row * s.columns);
                var scale = 1 / Real.Sqrt((Dot(x, x, s.columns) / s.columns) + s.epsilon);
                reciprocal[row] = scale;
                for (var j = 0; j < s.columns; j += Lanes)
                {
                    Prefetch.Stream(x + j);
                    Prefetch.Stream(y + j);
                    var count = s.columns - j;
                    VectorRow.Store(VectorRow.Load(x + j, count) * scale * VectorRow.Load(w + j, count), y + j, count);
                }
            }
        });
    }

    // With n = x r, r = 1 / rms: dx = r (w dy - n mean(n w dy)).
    public void RmsNormBackwardInput(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer reciprocal, DeviceBuffer dy, int rows, int columns, DeviceBuffer dx, bool accumulate)
    {
        RequireLength(x, (long)rows * columns);
        RequireLength(weight, columns);
        RequireLength(reciprocal, rows);
        RequireLength(dy, (long)rows * columns);
        RequireLength(dx, (long)rows * columns);
        var state = (x: (Ptr)Data(x), w: (Ptr)Data(weight), r: (Ptr)Data(reciprocal), dy: (Ptr)Data(dy), dx: (Ptr)Data(dx), columns, accumulate);
        _team.For(rows, RowGrain(columns), state, static (s, from, to) =>
        {
            Real* w = s.w, reciprocal = s.r;
            for (var row = from; row < to; row++)
            {
                var start = (long)row * s.columns;
                Real* x = s.x + start, dy = s.dy + start, dx = s.dx + start;
                var r = reciprocal[row];
                var dot = TripleDot(x, w, dy, s.columns);
                var pull = r * r * r * dot / s.columns;
                for (var j = 0; j < s.columns; j += Lanes)
                {
                    Prefetch.Stream(x + j);
                    Prefetch.Stream(dy + j);
                    Prefetch.Stream(dx + j);
                    var count = s.columns - j;
                    var value = (VectorRow.Load(w + j, count) * VectorRow.Load(dy + j, count) * r) - (VectorRow.Load(x + j, count) * pull);
                    VectorRow.Store(s.accumulate ? VectorRow.Load(dx + j, count) + value : value, dx + j, count);
                }
            }
        });
    }

    public void RmsNormBackwardWeight(
        DeviceBuffer x, DeviceBuffer reciprocal, DeviceBuffer dy, int rows, int columns, DeviceBuffer dWeight, bool accumulate)
    {
        RequireLength(x, (long)rows * columns);
        RequireLength(reciprocal, rows);
        RequireLength(dy, (long)rows * columns);
        RequireLength(dWeight, columns);
        SumColumns(new RmsNormTerm(Data(x), Data(reciprocal), Data(dy)), rows, columns, dWeight, accumulate);
    }

    public void LayerNorm(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer bias, int rows, int columns, Real epsilon, DeviceBuffer y, DeviceBuffer mean,
        DeviceBuffer reciprocal)
    {
        RequireLength(x, (long)rows * columns);
        RequireLength(weight, columns);
        RequireLength(bias, columns);
        RequireLength(y, (long)rows * columns);
        RequireLength(mean, rows);
        RequireLength(reciprocal, rows);
        var state = (x: (Ptr)Data(x), w: (Ptr)Data(weight), b: (Ptr)Data(bias), y: (Ptr)Data(y), mean: (Ptr)Data(mean), r: (Ptr)Data(reciprocal));
        _team.For(rows, RowGrain(columns), (state, columns, epsilon), static (s, from, to) =>
        {
            var ((px, pw, pb, py, pMean, pReciprocal), columns, epsilon) = s;
            Real* w = pw, b = pb, means = pMean, reciprocals = pReciprocal;
            for (var row = from; row < to; row++)
            {
                Real* x = px + ((long)row * columns), y = py + ((long)row * columns);
                var mean = RowSum(x, columns) / columns;
                var reciprocal = 1 / Real.Sqrt((SquaredDeviations(x, mean, columns) / columns) + epsilon);
                means[row] = mean;
                reciprocals[row] = reciprocal;
                var center = Vector256.Create(mean);
                for (var j = 0; j < columns; j += Lanes)
                {
                    var count = columns - j;
                    var normal = (VectorRow.Load(x + j, count) - center) * reciprocal;
                    VectorRow.Store((normal * VectorRow.Load(w + j, count)) + VectorRow.Load(b + j, count), y + j, count);
                }
            }
        });
    }

    // With n = (x - mean) r: dx = r (w dy - mean(w dy) - n mean(n w dy)).
    public void LayerNormBackwardInput(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer mean, DeviceBuffer reciprocal, DeviceBuffer dy, int rows, int columns,
        DeviceBuffer dx, bool accumulate)
    {
        RequireLength(x, (long)rows * columns);
        RequireLength(weight, columns);
        RequireLength(mean, rows);
        RequireLength(reciprocal, rows);
        RequireLength(dy, (long)rows * columns);
        RequireLength(dx, (long)rows * columns);
        var state = (x: (Ptr)Data(x), w: (Ptr)Data(weight), mean: (Ptr)Data(mean), r: (Ptr)Data(reciprocal), dy: (Ptr)Data(dy), dx: (Ptr)Data(dx));
        _team.For(rows, RowGrain(columns), (state, columns, accumulate), static (s, from, to) =>
        {
            var ((px, pw, pMean, pReciprocal, pdy, pdx), columns, accumulate) = s;
            Real* w = pw, means = pMean, reciprocals = pReciprocal;
            for (var row = from; row < to; row++)
            {
                var start = (long)row * columns;
                Real* x = px + start, dy = pdy + start, dx = pdx + start;
                var r = reciprocals[row];
                var sum = Dot(w, dy, columns);
                var dot = (TripleDot(x, w, dy, columns) - (means[row] * sum)) * r;
                var center = Vector256.Create(means[row]);
                var shift = Vector256.Create(sum / columns);
                for (var j = 0; j < columns; j += Lanes)
                {
                    var count = columns - j;
                    var normal = (VectorRow.Load(x + j, count) - center) * r;
                    var value = ((VectorRow.Load(w + j, count) * VectorRow.Load(dy + j, count)) - shift - (normal * (dot / columns))) * r;
                    VectorRow.Store(accumulate ? VectorRow.Load(dx + j, count) + value : value, dx + j, count);
                }
            }
        });
    }

    public void LayerNormBackwardWeight(
        DeviceBuffer x, DeviceBuffer mean, DeviceBuffer reciprocal, DeviceBuffer dy, int rows, int columns, DeviceBuffer dWeight, bool accumulate)
    {
        RequireLength(x, (long)rows * columns);
        RequireLength(mean, rows);
        RequireLength(reciprocal, rows);
        RequireLength(dy, (long)rows * columns);
        RequireLength(dWeight, columns);
        SumColumns(new LayerNormTerm(Data(x), Data(mean), Data(reciprocal), Data(dy)), rows, columns, dWeight, accumulate);
    }

    /// <summary>dy x r, of which the columns' sums are the gradient of RMSNorm's weight.</summary>
    private readonly struct RmsNormTerm(Real* x, Real* reciprocal, Real* dy) : IColumnTerm
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Vector256<Real> At(int row, long at, int count) => VectorRow.Load(dy + at, count) * VectorRow.Load(x + at, count) * reciprocal[row];
    }

    /// <summary>dy (x - mean) r, of which the columns' sums are the gradient of LayerNorm's weight.</summary>
    private readonly struct LayerNormTerm(Real* x, Real* mean, Real* reciprocal, Real* dy) : IColumnTerm
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Vector256<Real> At(int row, long at, int count) =>
            VectorRow.Load(dy + at, count) * ((VectorRow.Load(x + at, count) - Vector256.Create(mean[row])) * reciprocal[row]);
    }

    private static Real Dot(Real* a, Real* b, int length)
    {
        var total = Vector256<Real>.Zero;
        for (var i = 0; i < length; i += Lanes)
        {
            total = Vector256.FusedMultiplyAdd(VectorRow.Load(a + i, length - i), VectorRow.Load(b + i, length - i), total);
        }
        return VectorReduction.Sum(total);
    }

    private static Real TripleDot(Real* a, Real* b, Real* c, int length)
    {
        var total = Vector256<Real>.Zero;
        for (var i = 0; i < length; i += Lanes)
        {
            var count = length - i;
            total = Vector256.FusedMultiplyAdd(
                VectorRow.Load(a + i, count), VectorRow.Load(b + i, count) * VectorRow.Load(c + i, count), total);
        }
        return VectorReduction.Sum(total);
    }

    private static Real SquaredDeviations(Real* x, Real mean, int length)
    {
        var total = Vector256<Real>.Zero;
        var center = Vector256.Create(mean);
        for (var i = 0; i < length; i += Lanes)
        {
            // Lanes past the end are zeros in memory's stead: their deviation must not count.
            var deviation = VectorRow.Mask(VectorRow.Load(x + i, length - i) - center, length - i);
            total = Vector256.FusedMultiplyAdd(deviation, deviation, total);
        }
        return VectorReduction.Sum(total);
    }
}
