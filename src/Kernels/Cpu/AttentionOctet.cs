using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

/// <summary>
/// Attention's product of eight rows in 512-bit vectors: 8 rows by 2 vectors are 16 chains, more than the latency of two FMA units asks for,
/// and each load of B serves eight rows.
/// </summary>
internal static unsafe class AttentionOctet
{
    public const int Rows = 8;

    private static int Lanes => Vector512<Real>.Count;

    /// <summary>C[8, 0..cols) (+)= A[8, depth] B[depth, cols] as far as whole vectors go; returns the first column that is left.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int Multiply(Real* c, nint ldc, Real* a, nint aRow, nint aDepth, Real* b, nint ldb, int depth, int cols, bool fresh)
    {
        var twoRows = 2 * aRow;
        var j = 0;
        for (; j + 2 * Lanes <= cols; j += 2 * Lanes)
        {
            Vector512<Real> c00 = default, c01 = default, c10 = default, c11 = default, c20 = default, c21 = default, c30 = default, c31 = default;
            Vector512<Real> c40 = default, c41 = default, c50 = default, c51 = default, c60 = default, c61 = default, c70 = default, c71 = default;
            if (!fresh)
            {
                var x = c + j;
                (c00, c01) = (Vector512.Load(x), Vector512.Load(x + Lanes));
                x += ldc;
                (c10, c11) = (Vector512.Load(x), Vector512.Load(x + Lanes));
                x += ldc;
                (c20, c21) = (Vector512.Load(x), Vector512.Load(x + Lanes));
                x += ldc;
                (c30, c31) = (Vector512.Load(x), Vector512.Load(x + Lanes));
                x += ldc;
                (c40, c41) = (Vector512.Load(x), Vector512.Load(x + Lanes));
                x += ldc;
                (c50, c51) = (Vector512.Load(x), Vector512.Load(x + Lanes));
                x += ldc;
                (c60, c61) = (Vector512.Load(x), Vector512.Load(x + Lanes));
                x += ldc;
                (c70, c71) = (Vector512.Load(x), Vector512.Load(x + Lanes));
            }
            Real* a0 = a, a3 = a + 3 * aRow, a6 = a3 + 3 * aRow, y = b + j;
            for (var d = 0; d < depth; d++)
            {
                var b0 = Vector512.Load(y);
                var b1 = Vector512.Load(y + Lanes);
                var x = Vector512.Create(*a0);
                c00 = Vector512.FusedMultiplyAdd(x, b0, c00);
                c01 = Vector512.FusedMultiplyAdd(x, b1, c01);
                x = Vector512.Create(a0[aRow]);
                c10 = Vector512.FusedMultiplyAdd(x, b0, c10);
                c11 = Vector512.FusedMultiplyAdd(x, b1, c11);
                x = Vector512.Create(a0[twoRows]);
                c20 = Vector512.FusedMultiplyAdd(x, b0, c20);
                c21 = Vector512.FusedMultiplyAdd(x, b1, c21);
                x = Vector512.Create(*a3);
                c30 = Vector512.FusedMultiplyAdd(x, b0, c30);
                c31 = Vector512.FusedMultiplyAdd(x, b1, c31);
                x = Vector512.Create(a3[aRow]);
                c40 = Vector512.FusedMultiplyAdd(x, b0, c40);
                c41 = Vector512.FusedMultiplyAdd(x, b1, c41);
                x = Vector512.Create(a3[twoRows]);
                c50 = Vector512.FusedMultiplyAdd(x, b0, c50);
                c51 = Vector512.FusedMultiplyAdd(x, b1, c51);
                x = Vector512.Create(*a6);
                c60 = Vector512.FusedMultiplyAdd(x, b0, c60);
                c61 = Vector512.FusedMultiplyAdd(x, b1, c61);
                x = Vector512.Create(a6[aRow]);
                c70 = Vector512.FusedMultiplyAdd(x, b0, c70);
                c71 = Vector512.FusedMultiplyAdd(x, b1, c71);
                a0 += aDepth;
                a3 += aDepth;
                a6 += aDepth;
                y += ldb;
            }
            var z = c + j;
            Store(z, c00, c01);
            Store(z += ldc, c10, c11);
            Store(z += ldc, c20, c21);
            Store(z += ldc, c30, c31);
            Store(z += ldc, c40, c41);
            Store(z += ldc, c50, c51);
            Store(z += ldc, c60, c61);
            Store(z + ldc, c70, c71);
        }
        if (j + Lanes <= cols)
        {
            MultiplyOne(c + j, ldc, a, aRow, aDepth, b + j, ldb, depth, fresh);
            j += Lanes;
        }
        return j;
    }

    /// <summary>The same of one vector of columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void MultiplyOne(Real* c, nint ldc, Real* a, nint aRow, nint aDepth, Real* b, nint ldb, int depth, bool fresh)
    {
        var twoRows = 2 * aRow;
        Real* c3 = c + 3 * ldc, c6 = c3 + 3 * ldc;
        Vector512<Real> s0 = default, s1 = default, s2 = default, s3 = default, s4 = default, s5 = default, s6 = default, s7 = default;
        if (!fresh)
        {
            s0 = Vector512.Load(c);
            s1 = Vector512.Load(c + ldc);
            s2 = Vector512.Load(c + 2 * ldc);
            s3 = Vector512.Load(c3);
            s4 = Vector512.Load(c3 + ldc);
            s5 = Vector512.Load(c3 + 2 * ldc);
            s6 = Vector512.Load(c6);
            s7 = Vector512.Load(c6 + ldc);
        }
        Real* a3 = a + 3 * aRow, a6 = a3 + 3 * aRow;
        for (var d = 0; d < depth; d++)
        {
            var y = Vector512.Load(b);
            s0 = Vector512.FusedMultiplyAdd(Vector512.Create(*a), y, s0);
            s1 = Vector512.FusedMultiplyAdd(Vector512.Create(a[aRow]), y, s1);
            s2 = Vector512.FusedMultiplyAdd(Vector512.Create(a[twoRows]), y, s2);
            s3 = Vector512.FusedMultiplyAdd(Vector512.Create(*a3), y, s3);
            s4 = Vector512.FusedMultiplyAdd(Vector512.Create(a3[aRow]), y, s4);
            s5 = Vector512.FusedMultiplyAdd(Vector512.Create(a3[twoRows]), y, s5);
            s6 = Vector512.FusedMultiplyAdd(Vector512.Create(*a6), y, s6);
            s7 = Vector512.FusedMultiplyAdd(Vector512.Create(a6[aRow]), y, s7);
            a += aDepth;
            a3 += aDepth;
            a6 += aDepth;
            b += ldb;
        }
        s0.Store(c);
        s1.Store(c + ldc);
        s2.Store(c + 2 * ldc);
        s3.Store(c3);
        s4.Store(c3 + ldc);
        s5.Store(c3 + 2 * ldc);
        s6.Store(c6);
        s7.Store(c6 + ldc);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Real* c, Vector512<Real> first, Vector512<Real> second)
    {
        first.Store(c);
        second.Store(c + Lanes);
    }
}
