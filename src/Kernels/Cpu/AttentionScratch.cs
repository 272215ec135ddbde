using System.Buffers;
using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

/// <summary>A matrix in memory whose rows lie stride numbers apart.</summary>
internal readonly unsafe struct StridedRows(Real* start, nint stride)
{
    public readonly Real* Start = start;
    public readonly nint Stride = stride;

    public Real* At(nint row, nint column) => Start + row * Stride + column;

    /// <summary>The same matrix from this row and column on.</summary>
    public StridedRows From(nint row, nint column) => new(At(row, column), Stride);
}

/// <summary>How attention's operands lie in a worker's scratch memory, and the copies in and out of it.</summary>
internal static unsafe class AttentionScratch
{
    private const int Alignment = 64;

    /// <summary>An array from the shared pool: nothing is allocated once the pool is warm. Room is left to align its start.</summary>
    public static Real[] Rent(long length) => ArrayPool<Real>.Shared.Rent(checked((int)length + Alignment / sizeof(Real)));

    public static void Return(Real[] array) => ArrayPool<Real>.Shared.Return(array);

    public static Real* Align(Real* pointer) => (Real*)(((nuint)pointer + (Alignment - 1)) & ~(nuint)(Alignment - 1));

    /// <summary>Keys rounded up to whole blocks.</summary>
    public static int BlockCapacity(int keys) => (keys + AttentionTile.Keys - 1) / AttentionTile.Keys * AttentionTile.Keys;

    /// <summary>
    /// Rows [count, headSize] become the keys first..first + count - 1 of blocks [block][headSize, AttentionTile.Keys]: transposed, so that a
    /// vector holds the same component of neighbouring keys.
    /// </summary>
    public static void PackTransposed(Real* blocks, int first, StridedRows rows, int count, int headSize)
    {
        for (var i = 0; i < count; i++)
        {
            var key = first + i;
            var column = blocks + (nint)(key / AttentionTile.Keys) * AttentionTile.Keys * headSize + key % AttentionTile.Keys;
            var row = rows.At(i, 0);
            for (var d = 0; d < headSize; d++)
            {
                column[d * AttentionTile.Keys] = row[d];
            }
        }
    }

    /// <summary>Rows [count, headSize] become rows [count, width], the padding 0.</summary>
    public static void PackRows(Real* packed, int width, StridedRows rows, int count, int headSize)
    {
        for (var i = 0; i < count; i++)
        {
            var target = new Span<Real>(packed + (nint)i * width, width);
            new ReadOnlySpan<Real>(rows.At(i, 0), headSize).CopyTo(target);
            target[headSize..].Clear();
        }
    }

    /// <summary>Rows [count, width] are written to, or added to, rows [count, headSize]; the padding is dropped.</summary>
    public static void Unpack(StridedRows rows, Real* packed, int width, int count, int headSize, bool accumulate)
    {
        for (var i = 0; i < count; i++)
        {
            var source = packed + (nint)i * width;
            var target = rows.At(i, 0);
            if (!accumulate)
            {
                new ReadOnlySpan<Real>(source, headSize).CopyTo(new Span<Real>(target, headSize));
                continue;
            }
            var d = 0;
            for (; d + Vector256<Real>.Count <= headSize; d += Vector256<Real>.Count)
            {
                (Vector256.Load(target + d) + Vector256.Load(source + d)).Store(target + d);
            }
            for (; d < headSize; d++)
            {
                target[d] += source[d];
            }
        }
    }

    public static void Clear(Real* rows, nint length) => new Span<Real>(rows, checked((int)length)).Clear();
}
