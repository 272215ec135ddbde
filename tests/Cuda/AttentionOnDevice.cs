using TinyDpo.Kernels;
using TinyDpo.Tests.Kernels;

namespace TinyDpo.Tests;

/// <summary>An <see cref="AttentionCase"/> without gaps, computed by a backend.</summary>
internal static class AttentionOnDevice
{
    /// <param name="backend">Where it runs.</param>
    /// <param name="x">The operands.</param>
    /// <param name="offset">Numbers in front of each operand: 1 takes the alignment for 16-byte access away.</param>
    public static (Real[] O, Real[] Lse) Forward(IBackend backend, AttentionCase x, int offset = 0)
    {
        using var scope = new MemoryScope(backend);
        return ForwardInScope(backend, x, offset);
    }

    public static (Real[] DQ, Real[] DK, Real[] DV) Backward(IBackend backend, AttentionCase x, int offset = 0)
    {
        using var scope = new MemoryScope(backend);
        return BackwardInScope(backend, x, offset);
    }

    /// <summary>The same in the scope that is open, as a layer of a step.</summary>
    public static (Real[] O, Real[] Lse) ForwardInScope(IBackend backend, AttentionCase x, int offset = 0)
    {
        var (q, k, v) = Operands(backend, x, offset);
        var (o, lse) = (Empty(backend, x.Q.Length, offset), backend.Memory.Rent(x.Heads * x.Tokens));
        backend.SegmentAttention(Shape(x), x.Layout, q, k, v, o, lse);
        return (Numbers(backend, o), Numbers(backend, lse));
    }

    /// <summary>The same in the scope that is open, as a layer of a step.</summary>
    public static (Real[] DQ, Real[] DK, Real[] DV) BackwardInScope(IBackend backend, AttentionCase x, int offset = 0)
    {
        var (q, k, v) = Operands(backend, x, offset);
        var (o, lse) = (Empty(backend, x.Q.Length, offset), backend.Memory.Rent(x.Heads * x.Tokens));
        backend.SegmentAttention(Shape(x), x.Layout, q, k, v, o, lse);
        var (dq, dk, dv) = (Empty(backend, x.Q.Length, offset), Empty(backend, x.K.Length, offset), Empty(backend, x.V.Length, offset));
        backend.SegmentAttentionBackward(Shape(x), x.Layout, q, k, v, o, lse, Upload(backend, x.DO, offset), dq, dk, dv);
        return (Numbers(backend, dq), Numbers(backend, dk), Numbers(backend, dv));
    }

    public static AttentionShape Shape(AttentionCase x) => new(x.Heads, x.KvHeads, x.HeadSize);

    public static DeviceBuffer Upload(IBackend backend, Real[] values, int offset = 0)
    {
        var buffer = Empty(backend, values.Length, offset);
        if (offset == 0)
        {
            backend.Upload(values, buffer);
        }
        else
        {
            var whole = backend.Memory.Rent(values.Length);
            backend.Upload(values, whole);
            backend.Copy(whole, buffer);
        }
        return buffer;
    }

    public static IndexBuffer Upload(IBackend backend, int[] values)
    {
        var buffer = backend.Memory.RentIndex(values.Length);
        backend.Upload(values, buffer);
        return buffer;
    }

    public static DeviceBuffer Empty(IBackend backend, int length, int offset = 0)
    {
        var buffer = backend.Memory.Rent(length + offset);
        return offset == 0 ? buffer : buffer.Slice(offset, length);
    }

    public static Real[] Numbers(IBackend backend, DeviceBuffer buffer)
    {
        var values = new Real[buffer.Length];
        backend.Download(buffer, values);
        return values;
    }

    private static (DeviceBuffer Q, DeviceBuffer K, DeviceBuffer V) Operands(IBackend backend, AttentionCase x, int offset) =>
        (Upload(backend, x.Q, offset), Upload(backend, x.K, offset), Upload(backend, x.V, offset));
}
