using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

/// <summary>The 8 x 2 vectors tile of C in Vector512 registers: 16 accumulators, two vectors of B and one element of A at a time.</summary>
internal static unsafe class GemmTile512
{
    public const int Rows = 8;

    public static int Columns => 2 * Lanes;

    private static int Lanes => Vector512<Real>.Count;

    /// <summary>See <see cref="GemmKernel.Tile"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(int depth, Real* a, nint rowStride, nint stepStride, Real* b, Real alpha, bool accumulate, Real* c, nint ldc, nint toAddend,
        in GemmAhead ahead)
    {
        Vector512<Real> c00 = default, c01 = default;
        Vector512<Real> c10 = default, c11 = default;
        Vector512<Real> c20 = default, c21 = default;
        Vector512<Real> c30 = default, c31 = default;
        Vector512<Real> c40 = default, c41 = default;
        Vector512<Real> c50 = default, c51 = default;
        Vector512<Real> c60 = default, c61 = default;
        Vector512<Real> c70 = default, c71 = default;
        Vector512<Real> b0, b1;
        var twoRows = 2 * rowStride;
        var a3 = a + (3 * rowStride);
        var a6 = a + (6 * rowStride);
        // One of A's strides is 1 and goes into the instructions; two steps at a time. What is not multiply-adds is what this loop can save.
        var pairs = b + ((nint)(depth / 2) * 4 * Lanes);
        var requests = new GemmRequests(c, ldc, toAddend, Lanes, b, ahead);
        if (rowStride == 1)
        {
            // In bytes, which the instructions need not scale.
            var step = stepStride * sizeof(Real);
            while (b < pairs)
            {
                requests.Next();
                for (var end = GemmRequests.End(b, 2 * Lanes, pairs); b < end; b += 4 * Lanes)
                {
                    b0 = Vector512.LoadAligned(b);
                    b1 = Vector512.LoadAligned(b + Lanes);
                    Add(a, b0, b1, ref c00, ref c01);
                    Add(a + 1, b0, b1, ref c10, ref c11);
                    Add(a + 2, b0, b1, ref c20, ref c21);
                    Add(a + 3, b0, b1, ref c30, ref c31);
                    Add(a + 4, b0, b1, ref c40, ref c41);
                    Add(a + 5, b0, b1, ref c50, ref c51);
                    Add(a + 6, b0, b1, ref c60, ref c61);
                    Add(a + 7, b0, b1, ref c70, ref c71);
                    a = Next(a, step);
                    b0 = Vector512.LoadAligned(b + (2 * Lanes));
                    b1 = Vector512.LoadAligned(b + (3 * Lanes));
                    Add(a, b0, b1, ref c00, ref c01);
                    Add(a + 1, b0, b1, ref c10, ref c11);
                    Add(a + 2, b0, b1, ref c20, ref c21);
                    Add(a + 3, b0, b1, ref c30, ref c31);
                    Add(a + 4, b0, b1, ref c40, ref c41);
                    Add(a + 5, b0, b1, ref c50, ref c51);
                    Add(a + 6, b0, b1, ref c60, ref c61);
                    Add(a + 7, b0, b1, ref c70, ref c71);
                    a = Next(a, step);
                }
            }
            a3 = a + (3 * rowStride);
            a6 = a + (6 * rowStride);
        }
        else
        {
            while (b < pairs)
            {
                requests.Next();
                for (var end = GemmRequests.End(b, 2 * Lanes, pairs); b < end; b += 4 * Lanes)
                {
                    b0 = Vector512.LoadAligned(b);
                    b1 = Vector512.LoadAligned(b + Lanes);
                    Add(a, b0, b1, ref c00, ref c01);
                    Add(a + rowStride, b0, b1, ref c10, ref c11);
                    Add(a + twoRows, b0, b1, ref c20, ref c21);
                    Add(a3, b0, b1, ref c30, ref c31);
                    Add(a3 + rowStride, b0, b1, ref c40, ref c41);
                    Add(a3 + twoRows, b0, b1, ref c50, ref c51);
                    Add(a6, b0, b1, ref c60, ref c61);
                    Add(a6 + rowStride, b0, b1, ref c70, ref c71);
                    b0 = Vector512.LoadAligned(b + (2 * Lanes));
                    b1 = Vector512.LoadAligned(b + (3 * Lanes));
                    Add(a + 1, b0, b1, ref c00, ref c01);
                    Add(a + rowStride + 1, b0, b1, ref c10, ref c11);
                    Add(a + twoRows + 1, b0, b1, ref c20, ref c21);
                    Add(a3 + 1, b0, b1, ref c30, ref c31);
                    Add(a3 + rowStride + 1, b0, b1, ref c40, ref c41);
                    Add(a3 + twoRows + 1, b0, b1, ref c50, ref c51);
                    Add(a6 + 1, b0, b1, ref c60, ref c61);
                    Add(a6 + rowStride + 1, b0, b1, ref c70, ref c71);
                    a += 2;
                    a3 += 2;
                    a6 += 2;
                }
            }
        }
        if (depth % 2 != 0)
        {
            b0 = Vector512.LoadAligned(b);
            b1 = Vector512.LoadAligned(b + Lanes);
            Add(a, b0, b1, ref c00, ref c01);
            Add(a + rowStride, b0, b1, ref c10, ref c11);
            Add(a + twoRows, b0, b1, ref c20, ref c21);
            Add(a3, b0, b1, ref c30, ref c31);
            Add(a3 + rowStride, b0, b1, ref c40, ref c41);
            Add(a3 + twoRows, b0, b1, ref c50, ref c51);
            Add(a6, b0, b1, ref c60, ref c61);
            Add(a6 + rowStride, b0, b1, ref c70, ref c71);
        }
        var scale = Vector512.Create(alpha);
        Store(c, c00, c01, scale, accumulate, toAddend);
        Store(c + ldc, c10, c11, scale, accumulate, toAddend);
        Store(c + (2 * ldc), c20, c21, scale, accumulate, toAddend);
        Store(c + (3 * ldc), c30, c31, scale, accumulate, toAddend);
        Store(c + (4 * ldc), c40, c41, scale, accumulate, toAddend);
        Store(c + (5 * ldc), c50, c51, scale, accumulate, toAddend);
        Store(c + (6 * ldc), c60, c61, scale, accumulate, toAddend);
        Store(c + (7 * ldc), c70, c71, scale, accumulate, toAddend);
    }

    /// <summary>The same for a tile of one row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void MultiplyRow(int depth, Real* a, nint rowStride, nint stepStride, Real* b, Real alpha, bool accumulate, Real* c, nint ldc, nint toAddend,
        in GemmAhead ahead)
    {
        Vector512<Real> c00 = default, c01 = default;
        for (var p = 0; p < depth; p++)
        {
            var x = Vector512.Create(*a);
            c00 = Vector512.FusedMultiplyAdd(x, Vector512.LoadAligned(b), c00);
            c01 = Vector512.FusedMultiplyAdd(x, Vector512.LoadAligned(b + Lanes), c01);
            a += stepStride;
            b += 2 * Lanes;
        }
        Store(c, c00, c01, Vector512.Create(alpha), accumulate, toAddend);
    }

    /// <summary>sums += *x times two vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(Real* x, Vector512<Real> b0, Vector512<Real> b1, ref Vector512<Real> sum0, ref Vector512<Real> sum1)
    {
        var all = Vector512.Create(*x);
        sum0 = Vector512.FusedMultiplyAdd(all, b0, sum0);
        sum1 = Vector512.FusedMultiplyAdd(all, b1, sum1);
    }

    /// <summary>A transposed A has long strides, which no hardware foresees.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Real* Next(Real* a, nint step)
    {
        a = (Real*)((byte*)a + step);
        Prefetch.ToLevel1((byte*)a + (8 * step));
        return a;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Real* c, Vector512<Real> sum0, Vector512<Real> sum1, Vector512<Real> scale, bool accumulate, nint toAddend)
    {
        var c1 = c + Lanes;
        var value0 = accumulate ? Vector512.FusedMultiplyAdd(scale, sum0, Vector512.Load(c)) : scale * sum0;
        var value1 = accumulate ? Vector512.FusedMultiplyAdd(scale, sum1, Vector512.Load(c1)) : scale * sum1;
        if (toAddend != 0)
        {
            value0 += Vector512.Load(c + toAddend);
            value1 += Vector512.Load(c1 + toAddend);
        }
        value0.Store(c);
        value1.Store(c1);
    }
}
