using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace TinyDpo.Kernels;

/// <summary>The 8 x 2 vectors tile of C in Vector512 registers: 16 accumulators, two vectors of B and one element of A at a time.</summary>
internal static unsafe class GemmTile512
{
    public const int Rows = 8;

    public static int Columns => 2 * Vector512<Real>.Count;

    /// <summary>See <see cref="GemmKernel.Tile"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(int depth, Real* a, nint rowStride, nint stepStride, Real* b, Real alpha, bool accumulate, Real* c, nint ldc)
    {
        Vector512<Real> c00 = default, c01 = default;
        Vector512<Real> c10 = default, c11 = default;
        Vector512<Real> c20 = default, c21 = default;
        Vector512<Real> c30 = default, c31 = default;
        Vector512<Real> c40 = default, c41 = default;
        Vector512<Real> c50 = default, c51 = default;
        Vector512<Real> c60 = default, c61 = default;
        Vector512<Real> c70 = default, c71 = default;
        // Rows are addressed in threes from three pointers: eight pointers would not fit the registers.
        var a3 = a + (3 * rowStride);
        var a6 = a + (6 * rowStride);
        var twoRows = 2 * rowStride;
        for (var p = 0; p < depth; p++)
        {
            var b0 = Vector512.LoadAligned(b);
            var b1 = Vector512.LoadAligned(b + Vector512<Real>.Count);
            var x = Vector512.Create(*a);
            c00 = Vector512.FusedMultiplyAdd(x, b0, c00);
            c01 = Vector512.FusedMultiplyAdd(x, b1, c01);
            x = Vector512.Create(a[rowStride]);
            c10 = Vector512.FusedMultiplyAdd(x, b0, c10);
            c11 = Vector512.FusedMultiplyAdd(x, b1, c11);
            x = Vector512.Create(a[twoRows]);
            c20 = Vector512.FusedMultiplyAdd(x, b0, c20);
            c21 = Vector512.FusedMultiplyAdd(x, b1, c21);
            x = Vector512.Create(*a3);
            c30 = Vector512.FusedMultiplyAdd(x, b0, c30);
            c31 = Vector512.FusedMultiplyAdd(x, b1, c31);
            x = Vector512.Create(a3[rowStride]);
            c40 = Vector512.FusedMultiplyAdd(x, b0, c40);
            c41 = Vector512.FusedMultiplyAdd(x, b1, c41);
            x = Vector512.Create(a3[twoRows]);
            c50 = Vector512.FusedMultiplyAdd(x, b0, c50);
            c51 = Vector512.FusedMultiplyAdd(x, b1, c51);
            x = Vector512.Create(*a6);
            c60 = Vector512.FusedMultiplyAdd(x, b0, c60);
            c61 = Vector512.FusedMultiplyAdd(x, b1, c61);
            x = Vector512.Create(a6[rowStride]);
            c70 = Vector512.FusedMultiplyAdd(x, b0, c70);
            c71 = Vector512.FusedMultiplyAdd(x, b1, c71);
            if (Sse.IsSupported)
            {
                // A transposed A has long strides, which no hardware foresees; past the end a prefetch does no harm.
                Sse.Prefetch0(a + (8 * stepStride));
            }
            a += stepStride;
            a3 += stepStride;
            a6 += stepStride;
            b += 2 * Vector512<Real>.Count;
        }
        var scale = Vector512.Create(alpha);
        Store(c, c00, c01, scale, accumulate);
        Store(c + ldc, c10, c11, scale, accumulate);
        Store(c + (2 * ldc), c20, c21, scale, accumulate);
        Store(c + (3 * ldc), c30, c31, scale, accumulate);
        Store(c + (4 * ldc), c40, c41, scale, accumulate);
        Store(c + (5 * ldc), c50, c51, scale, accumulate);
        Store(c + (6 * ldc), c60, c61, scale, accumulate);
        Store(c + (7 * ldc), c70, c71, scale, accumulate);
    }

    /// <summary>The same for a tile of one row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void MultiplyRow(int depth, Real* a, nint rowStride, nint stepStride, Real* b, Real alpha, bool accumulate, Real* c, nint ldc)
    {
        Vector512<Real> c00 = default, c01 = default;
        for (var p = 0; p < depth; p++)
        {
            var x = Vector512.Create(*a);
            c00 = Vector512.FusedMultiplyAdd(x, Vector512.LoadAligned(b), c00);
            c01 = Vector512.FusedMultiplyAdd(x, Vector512.LoadAligned(b + Vector512<Real>.Count), c01);
            a += stepStride;
            b += 2 * Vector512<Real>.Count;
        }
        Store(c, c00, c01, Vector512.Create(alpha), accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Real* c, Vector512<Real> sum0, Vector512<Real> sum1, Vector512<Real> scale, bool accumulate)
    {
        var c1 = c + Vector512<Real>.Count;
        if (accumulate)
        {
            Vector512.FusedMultiplyAdd(scale, sum0, Vector512.Load(c)).Store(c);
            Vector512.FusedMultiplyAdd(scale, sum1, Vector512.Load(c1)).Store(c1);
        }
        else
        {
            (scale * sum0).Store(c);
            (scale * sum1).Store(c1);
        }
    }
}
