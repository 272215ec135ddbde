using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

public sealed unsafe partial class CpuBackend
{
    public void Sum(DeviceBuffer x, Real scale, DeviceBuffer sum)
    {
        RequireLength(sum, 1);
        Data(sum)[0] = scale * RowSum(Data(x), x.Length);
    }

    public void SumBackward(DeviceBuffer dSum, Real scale, DeviceBuffer dx, bool accumulate)
    {
        var value = scale * Data(dSum)[0];
        if (!accumulate)
        {
            Fill(dx, value);
            return;
        }
        var p = Data(dx);
        for (var i = 0; i < dx.Length; i++)
        {
            p[i] += value;
        }
    }

    public void SegmentSum(DeviceBuffer x, IndexBuffer offsets, DeviceBuffer sum)
    {
        RequireLength(sum, offsets.Length - 1);
        RequireOffsets(offsets, x.Length);
        var p = Data(x);
        var o = Data(offsets);
        var y = Data(sum);
        for (var s = 0; s < offsets.Length - 1; s++)
        {
            Real total = 0;
            for (var i = o[s]; i < o[s + 1]; i++)
            {
                total += p[i];
            }
            y[s] = total;
        }
    }

    public void SegmentSumBackward(DeviceBuffer dSum, IndexBuffer offsets, DeviceBuffer dx, bool accumulate)
    {
        RequireLength(dSum, offsets.Length - 1);
        RequireOffsets(offsets, dx.Length);
        var d = Data(dSum);
        var o = Data(offsets);
        var p = Data(dx);
        for (var s = 0; s < offsets.Length - 1; s++)
        {
            for (var i = o[s]; i < o[s + 1]; i++)
            {
                p[i] = accumulate ? p[i] + d[s] : d[s];
            }
        }
    }

    /// <summary>One vector accumulator, then a fixed tree over its lanes: the order depends on the length alone.</summary>
    private static Real RowSum(Real* x, int length)
    {
        var total = Vector256<Real>.Zero;
        for (var i = 0; i < length; i += Lanes)
        {
            total += VectorRow.Load(x + i, length - i);
        }
        return VectorReduction.Sum(total);
    }

    private static void RequireOffsets(IndexBuffer offsets, int length) =>
        IndexBuffer.RequireOffsets(new ReadOnlySpan<int>(Data(offsets), offsets.Length), length);
}
