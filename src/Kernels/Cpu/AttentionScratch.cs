using System.Buffers;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

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
    /// Rows [count, headSize] become the keys first..first + count - 1 of blocks [block][headSize, AttentionTile.Keys]: transposed, so that
    /// a vector holds the same component of neighbouring keys.
    /// </summary>
    public static void PackTransposed(Real* blocks, int first, StridedRows rows, int count, int headSize)
    {
        var side = Vector256<Real>.Count;
        for (int i = 0, taken; i < count; i += taken)
        {
            var lane = (first + i) % AttentionTile.Keys;
            // Fewer keys than a square has, at the end or before the next block, are packed with those before them, which are packed once more.
            var again = side - Math.Min(count - i, AttentionTile.Keys - lane);
            if (Avx.IsSupported && again > 0 && again <= Math.Min(i, lane))
            {
                i -= again;
                lane -= again;
            }
            var key = first + i;
            var column = blocks + (nint)(key - lane) * headSize + lane;
            var d = 0;
            taken = 1;
            if (Avx.IsSupported && count - i >= side && AttentionTile.Keys - lane >= side)
            {
                taken = side;
                for (; d + side <= headSize; d += side)
                {
                    GemmPanel.TransposeSquare(rows.At(i, d), rows.Stride, column + d * AttentionTile.Keys, AttentionTile.Keys);
                }
            }
            for (var j = 0; j < taken; j++)
            {
                var row = rows.At(i + j, 0);
                for (var e = d; e < headSize; e++)
                {
                    column[e * AttentionTile.Keys + j] = row[e];
                }
            }
        }
    }

    /// <summary>Asks for rows [count, headSize] that will be read soon; a stride apart, no hardware foresees them.</summary>
    public static void Prefetch(StridedRows rows, int count, int headSize)
    {
        for (var i = 0; i < count; i++)
        {
            var row = (byte*)rows.At(i, 0);
            for (var b = 0; b < headSize * sizeof(Real); b += 64)
            {
                Kernels.Prefetch.ToLevel2(row + b);
            }
        }
    }

    /// <summary>Rows [count, headSize] become rows [count, width], the padding 0.</summary>
    public static void PackRows(Real* packed, int width, StridedRows rows, int count, int headSize)
    {
        for (var i = 0; i < count; i++, packed += width)
        {
            var source = rows.At(i, 0);
            var d = 0;
            for (; Vector512.IsHardwareAccelerated && d + Vector512<Real>.Count <= headSize; d += Vector512<Real>.Count)
            {
                Vector512.Load(source + d).Store(packed + d);
            }
            for (; d + AttentionTile.Lanes <= headSize; d += AttentionTile.Lanes)
            {
                Vector256.Load(source + d).Store(packed + d);
            }
            for (; d < width; d++)
            {
                packed[d] = d < headSize ? source[d] : 0;
            }
        }
    }

    /// <summary>Rows [count, width] are written to, or added to, rows [count, headSize]; the padding is dropped.</summary>
    public static void Unpack(StridedRows rows, Real* packed, int width, int count, int headSize, bool accumulate)
    {
        for (var i = 0; i < count; i++, packed += width)
        {
            var target = rows.At(i, 0);
            var d = 0;
            for (; Vector512.IsHardwareAccelerated && d + Vector512<Real>.Count <= headSize; d += Vector512<Real>.Count)
            {
                var x = Vector512.Load(packed + d);
                (accumulate ? Vector512.Load(target + d) + x : x).Store(target + d);
            }
            for (; d + AttentionTile.Lanes <= headSize; d += AttentionTile.Lanes)
            {
                var x = Vector256.Load(packed + d);
                (accumulate ? Vector256.Load(target + d) + x : x).Store(target + d);
            }
            for (; d < headSize; d++)
            {
                target[d] = accumulate ? target[d] + packed[d] : packed[d];
            }
        }
    }

    public static void Clear(Real* rows, nint length) => new Span<Real>(rows, checked((int)length)).Clear();
}
