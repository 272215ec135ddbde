using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

/// <summary>
/// The 6 x 4 vectors tile of C in Vector512 registers: 24 accumulators, four vectors of B and one element of A at a time. Ten reads go with 24
/// multiply-adds; a tile of 8 x 2 has ten for 16, and is the slower one where another guest of the host uses the core's other half.
/// </summary>
internal static unsafe class GemmTile512
{
    public const int Rows = 6;

    public static int Columns => 4 * Lanes;

    private static int Lanes => Vector512<Real>.Count;

    /// <summary>See <see cref="GemmKernel.Tile"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(int depth, Real* a, nint rowStride, nint stepStride, Real* b, Real alpha, bool accumulate, Real* c, nint ldc, nint toAddend,
        in GemmAhead ahead)
    {
        Vector512<Real> c00 = default, c01 = default, c02 = default, c03 = default;
        Vector512<Real> c10 = default, c11 = default, c12 = default, c13 = default;
        Vector512<Real> c20 = default, c21 = default, c22 = default, c23 = default;
        Vector512<Real> c30 = default, c31 = default, c32 = default, c33 = default;
        Vector512<Real> c40 = default, c41 = default, c42 = default, c43 = default;
        Vector512<Real> c50 = default, c51 = default, c52 = default, c53 = default;
        Vector512<Real> b0, b1, b2, b3;
        var twoRows = 2 * rowStride;
        var a3 = a + (3 * rowStride);
        // One of A's strides is 1 and goes into the instructions; two steps at a time. What is not multiply-adds is what this loop can save.
        var pairs = b + ((nint)(depth / 2) * 8 * Lanes);
        var requests = new GemmRequests(c, ldc, toAddend, Lanes, b, ahead);
        if (rowStride == 1)
        {
            // In bytes, which the instructions need not scale.
            var step = stepStride * sizeof(Real);
            while (b < pairs)
            {
                requests.Next(wide: true);
                for (var end = GemmRequests.End(b, 4 * Lanes, pairs); b < end; b += 8 * Lanes)
                {
                    b0 = Vector512.LoadAligned(b);
                    b1 = Vector512.LoadAligned(b + Lanes);
                    b2 = Vector512.LoadAligned(b + (2 * Lanes));
                    b3 = Vector512.LoadAligned(b + (3 * Lanes));
                    Add(a, b0, b1, b2, b3, ref c00, ref c01, ref c02, ref c03);
                    Add(a + 1, b0, b1, b2, b3, ref c10, ref c11, ref c12, ref c13);
                    Add(a + 2, b0, b1, b2, b3, ref c20, ref c21, ref c22, ref c23);
                    Add(a + 3, b0, b1, b2, b3, ref c30, ref c31, ref c32, ref c33);
                    Add(a + 4, b0, b1, b2, b3, ref c40, ref c41, ref c42, ref c43);
                    Add(a + 5, b0, b1, b2, b3, ref c50, ref c51, ref c52, ref c53);
                    a = GemmRequests.NextStep(a, step);
                    b0 = Vector512.LoadAligned(b + (4 * Lanes));
                    b1 = Vector512.LoadAligned(b + (5 * Lanes));
                    b2 = Vector512.LoadAligned(b + (6 * Lanes));
                    b3 = Vector512.LoadAligned(b + (7 * Lanes));
                    Add(a, b0, b1, b2, b3, ref c00, ref c01, ref c02, ref c03);
                    Add(a + 1, b0, b1, b2, b3, ref c10, ref c11, ref c12, ref c13);
                    Add(a + 2, b0, b1, b2, b3, ref c20, ref c21, ref c22, ref c23);
                    Add(a + 3, b0, b1, b2, b3, ref c30, ref c31, ref c32, ref c33);
                    Add(a + 4, b0, b1, b2, b3, ref c40, ref c41, ref c42, ref c43);
                    Add(a + 5, b0, b1, b2, b3, ref c50, ref c51, ref c52, ref c53);
                    a = GemmRequests.NextStep(a, step);
                }
            }
            a3 = a + (3 * rowStride);
        }
        else
        {
            while (b < pairs)
            {
                requests.Next(wide: true);
                for (var end = GemmRequests.End(b, 4 * Lanes, pairs); b < end; b += 8 * Lanes)
                {
                    b0 = Vector512.LoadAligned(b);
                    b1 = Vector512.LoadAligned(b + Lanes);
                    b2 = Vector512.LoadAligned(b + (2 * Lanes));
                    b3 = Vector512.LoadAligned(b + (3 * Lanes));
                    Add(a, b0, b1, b2, b3, ref c00, ref c01, ref c02, ref c03);
                    Add(a + rowStride, b0, b1, b2, b3, ref c10, ref c11, ref c12, ref c13);
                    Add(a + twoRows, b0, b1, b2, b3, ref c20, ref c21, ref c22, ref c23);
                    Add(a3, b0, b1, b2, b3, ref c30, ref c31, ref c32, ref c33);
                    Add(a3 + rowStride, b0, b1, b2, b3, ref c40, ref c41, ref c42, ref c43);
                    Add(a3 + twoRows, b0, b1, b2, b3, ref c50, ref c51, ref c52, ref c53);
                    b0 = Vector512.LoadAligned(b + (4 * Lanes));
                    b1 = Vector512.LoadAligned(b + (5 * Lanes));
                    b2 = Vector512.LoadAligned(b + (6 * Lanes));
                    b3 = Vector512.LoadAligned(b + (7 * Lanes));
                    Add(a + 1, b0, b1, b2, b3, ref c00, ref c01, ref c02, ref c03);
                    Add(a + rowStride + 1, b0, b1, b2, b3, ref c10, ref c11, ref c12, ref c13);
                    Add(a + twoRows + 1, b0, b1, b2, b3, ref c20, ref c21, ref c22, ref c23);
                    Add(a3 + 1, b0, b1, b2, b3, ref c30, ref c31, ref c32, ref c33);
                    Add(a3 + rowStride + 1, b0, b1, b2, b3, ref c40, ref c41, ref c42, ref c43);
                    Add(a3 + twoRows + 1, b0, b1, b2, b3, ref c50, ref c51, ref c52, ref c53);
                    a += 2;
                    a3 += 2;
                }
            }
        }
        if (depth % 2 != 0)
        {
            b0 = Vector512.LoadAligned(b);
            b1 = Vector512.LoadAligned(b + Lanes);
            b2 = Vector512.LoadAligned(b + (2 * Lanes));
            b3 = Vector512.LoadAligned(b + (3 * Lanes));
            Add(a, b0, b1, b2, b3, ref c00, ref c01, ref c02, ref c03);
            Add(a + rowStride, b0, b1, b2, b3, ref c10, ref c11, ref c12, ref c13);
            Add(a + twoRows, b0, b1, b2, b3, ref c20, ref c21, ref c22, ref c23);
            Add(a3, b0, b1, b2, b3, ref c30, ref c31, ref c32, ref c33);
            Add(a3 + rowStride, b0, b1, b2, b3, ref c40, ref c41, ref c42, ref c43);
            Add(a3 + twoRows, b0, b1, b2, b3, ref c50, ref c51, ref c52, ref c53);
        }
        var scale = Vector512.Create(alpha);
        Store(c, c00, c01, c02, c03, scale, accumulate, toAddend);
        Store(c + ldc, c10, c11, c12, c13, scale, accumulate, toAddend);
        Store(c + (2 * ldc), c20, c21, c22, c23, scale, accumulate, toAddend);
        Store(c + (3 * ldc), c30, c31, c32, c33, scale, accumulate, toAddend);
        Store(c + (4 * ldc), c40, c41, c42, c43, scale, accumulate, toAddend);
        Store(c + (5 * ldc), c50, c51, c52, c53, scale, accumulate, toAddend);
    }

    /// <summary>The same for a tile of one row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void MultiplyRow(int depth, Real* a, nint rowStride, nint stepStride, Real* b, Real alpha, bool accumulate, Real* c, nint ldc, nint toAddend,
        in GemmAhead ahead)
    {
        Vector512<Real> c0 = default, c1 = default, c2 = default, c3 = default;
        for (var p = 0; p < depth; p++)
        {
            Add(a, Vector512.LoadAligned(b), Vector512.LoadAligned(b + Lanes), Vector512.LoadAligned(b + (2 * Lanes)), Vector512.LoadAligned(b + (3 * Lanes)),
                ref c0, ref c1, ref c2, ref c3);
            a += stepStride;
            b += 4 * Lanes;
        }
        Store(c, c0, c1, c2, c3, Vector512.Create(alpha), accumulate, toAddend);
    }

    /// <summary>sums += *x times four vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(Real* x, Vector512<Real> b0, Vector512<Real> b1, Vector512<Real> b2, Vector512<Real> b3,
        ref Vector512<Real> sum0, ref Vector512<Real> sum1, ref Vector512<Real> sum2, ref Vector512<Real> sum3)
    {
        var all = Vector512.Create(*x);
        sum0 = Vector512.FusedMultiplyAdd(all, b0, sum0);
        sum1 = Vector512.FusedMultiplyAdd(all, b1, sum1);
        sum2 = Vector512.FusedMultiplyAdd(all, b2, sum2);
        sum3 = Vector512.FusedMultiplyAdd(all, b3, sum3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Real* c, Vector512<Real> sum0, Vector512<Real> sum1, Vector512<Real> sum2, Vector512<Real> sum3, Vector512<Real> scale,
        bool accumulate, nint toAddend)
    {
        GemmTile<Lanes512, Vector512<Real>>.Store(c, sum0, scale, accumulate, toAddend);
        GemmTile<Lanes512, Vector512<Real>>.Store(c + Lanes, sum1, scale, accumulate, toAddend);
        GemmTile<Lanes512, Vector512<Real>>.Store(c + (2 * Lanes), sum2, scale, accumulate, toAddend);
        GemmTile<Lanes512, Vector512<Real>>.Store(c + (3 * Lanes), sum3, scale, accumulate, toAddend);
    }
}
