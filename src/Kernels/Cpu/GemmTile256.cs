using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace TinyDpo.Kernels;

/// <summary>The 6 x 2 vectors tile of C in Vector256 registers: 12 accumulators, two vectors of B and one element of A at a time.</summary>
internal static unsafe class GemmTile256
{
    public const int Rows = 6;

    public static int Columns => 2 * Vector256<Real>.Count;

    /// <summary>See <see cref="GemmKernel.Tile"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(int depth, Real* a, nint rowStride, nint stepStride, Real* b, Real alpha, bool accumulate, Real* c, nint ldc)
    {
        Vector256<Real> c00 = default, c01 = default;
        Vector256<Real> c10 = default, c11 = default;
        Vector256<Real> c20 = default, c21 = default;
        Vector256<Real> c30 = default, c31 = default;
        Vector256<Real> c40 = default, c41 = default;
        Vector256<Real> c50 = default, c51 = default;
        // Rows are addressed in threes from two pointers: one a row would not fit the registers.
        var a3 = a + (3 * rowStride);
        var twoRows = 2 * rowStride;
        for (var p = 0; p < depth; p++)
        {
            var b0 = Vector256.LoadAligned(b);
            var b1 = Vector256.LoadAligned(b + Vector256<Real>.Count);
            var x = Vector256.Create(*a);
            c00 = Vector256.FusedMultiplyAdd(x, b0, c00);
            c01 = Vector256.FusedMultiplyAdd(x, b1, c01);
            x = Vector256.Create(a[rowStride]);
            c10 = Vector256.FusedMultiplyAdd(x, b0, c10);
            c11 = Vector256.FusedMultiplyAdd(x, b1, c11);
            x = Vector256.Create(a[twoRows]);
            c20 = Vector256.FusedMultiplyAdd(x, b0, c20);
            c21 = Vector256.FusedMultiplyAdd(x, b1, c21);
            x = Vector256.Create(*a3);
            c30 = Vector256.FusedMultiplyAdd(x, b0, c30);
            c31 = Vector256.FusedMultiplyAdd(x, b1, c31);
            x = Vector256.Create(a3[rowStride]);
            c40 = Vector256.FusedMultiplyAdd(x, b0, c40);
            c41 = Vector256.FusedMultiplyAdd(x, b1, c41);
            x = Vector256.Create(a3[twoRows]);
            c50 = Vector256.FusedMultiplyAdd(x, b0, c50);
            c51 = Vector256.FusedMultiplyAdd(x, b1, c51);
            if (Sse.IsSupported)
            {
                // A transposed A has long strides, which no hardware foresees; past the end a prefetch does no harm.
                Sse.Prefetch0(a + (8 * stepStride));
            }
            a += stepStride;
            a3 += stepStride;
            b += 2 * Vector256<Real>.Count;
        }
        var scale = Vector256.Create(alpha);
        Store(c, c00, c01, scale, accumulate);
        Store(c + ldc, c10, c11, scale, accumulate);
        Store(c + (2 * ldc), c20, c21, scale, accumulate);
        Store(c + (3 * ldc), c30, c31, scale, accumulate);
        Store(c + (4 * ldc), c40, c41, scale, accumulate);
        Store(c + (5 * ldc), c50, c51, scale, accumulate);
    }

    /// <summary>The same for a tile of one row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void MultiplyRow(int depth, Real* a, nint rowStride, nint stepStride, Real* b, Real alpha, bool accumulate, Real* c, nint ldc)
    {
        Vector256<Real> c00 = default, c01 = default;
        for (var p = 0; p < depth; p++)
        {
            var x = Vector256.Create(*a);
            c00 = Vector256.FusedMultiplyAdd(x, Vector256.LoadAligned(b), c00);
            c01 = Vector256.FusedMultiplyAdd(x, Vector256.LoadAligned(b + Vector256<Real>.Count), c01);
            a += stepStride;
            b += 2 * Vector256<Real>.Count;
        }
        Store(c, c00, c01, Vector256.Create(alpha), accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Real* c, Vector256<Real> sum0, Vector256<Real> sum1, Vector256<Real> scale, bool accumulate)
    {
        var c1 = c + Vector256<Real>.Count;
        if (accumulate)
        {
            Vector256.FusedMultiplyAdd(scale, sum0, Vector256.Load(c)).Store(c);
            Vector256.FusedMultiplyAdd(scale, sum1, Vector256.Load(c1)).Store(c1);
        }
        else
        {
            (scale * sum0).Store(c);
            (scale * sum1).Store(c1);
        }
    }
}
