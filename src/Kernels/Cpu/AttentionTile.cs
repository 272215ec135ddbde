using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

/// <summary>
/// The small dense products that attention is made of, and the packing of their operands. Every element of a product is ONE chain of fused
/// multiply-adds in the order of its depth, whatever the tile it falls in: that is what makes attention's bits independent of the tiling.
/// Widths (columns) are multiples of the vector length; packed operands are padded up to that.
/// </summary>
internal static unsafe class AttentionTile
{
    /// <summary>Keys in a block. Blocks stand at multiples of it in the sequence's own key index, so no batch moves them.</summary>
    public const int Keys = 64;

    /// <summary>Rows of C that share each load of B: 4 rows by 2 vectors are the 8 independent chains that two FMA units need.</summary>
    public const int Quad = 4;

    public static int Lanes => Vector256<Real>.Count;

    /// <summary>n rounded up to whole vectors.</summary>
    public static int Padded(int n) => (n + Lanes - 1) / Lanes * Lanes;

    /// <summary>A mask of the first count lanes.</summary>
    public static Vector256<Real> FirstLanes(int count) => Vector256.LessThan(Vector256<Real>.Indices, Vector256.Create((Real)count));

    /// <summary>C[rows, cols] (+)= A[rows, depth] B[depth, cols], A[r, d] = a[r * aRow + d * aDepth]. fresh: C starts from 0.</summary>
    public static void Multiply(Real* c, nint ldc, Real* a, nint aRow, nint aDepth, Real* b, nint ldb, int rows, int depth, int cols,
        bool fresh)
    {
        var r = 0;
        for (; r + Quad <= rows; r += Quad)
        {
            MultiplyQuad(c + r * ldc, ldc, a + r * aRow, aRow, aDepth, b, ldb, depth, cols, fresh);
        }
        for (; r < rows; r++)
        {
            MultiplyRow(c + r * ldc, a + r * aRow, aDepth, b, ldb, depth, cols, fresh);
        }
    }

    /// <summary>
    /// C[r, :] += A[r, 0..ends[r]) B for the rows of a quad, where ends[r] = firstEnd + r * step within [0, Keys]: A is the causal
    /// triangle, and what lies beyond a row's end is not touched (a later token's NaN must not reach an earlier row as 0 * NaN).
    /// </summary>
    public static void MultiplyCausal(Real* c, nint ldc, Real* a, nint lda, Real* b, nint ldb, int rows, int firstEnd, int step, int cols)
    {
        var common = Math.Clamp(firstEnd, 0, Keys);
        Multiply(c, ldc, a, lda, 1, b, ldb, rows, common, cols, fresh: false);
        for (var r = 1; r < rows; r++)
        {
            var end = Math.Clamp(firstEnd + r * step, 0, Keys);
            if (end > common)
            {
                MultiplyRow(c + r * ldc, a + r * lda + common, 1, b + common * ldb, ldb, end - common, cols, fresh: false);
            }
        }
    }

    /// <summary>
    /// C[j, :] += sum over r in [starts[j], rows) of A[r, j] B[r, :] for the keys j of a quad, where starts[j] = firstStart + j within
    /// [0, rows]: the transposed product of the same triangle, with the same care.
    /// </summary>
    public static void MultiplyCausalTransposed(Real* c, nint ldc, Real* a, nint lda, Real* b, nint ldb, int keys, int firstStart,
        int rows, int cols)
    {
        var common = Math.Clamp(firstStart + keys - 1, 0, rows);
        for (var j = 0; j < keys - 1; j++)
        {
            var start = Math.Clamp(firstStart + j, 0, rows);
            if (start < common)
            {
                MultiplyRow(c + j * ldc, a + j + start * lda, lda, b + start * ldb, ldb, common - start, cols, fresh: false);
            }
        }
        Multiply(c, ldc, a + common * lda, 1, lda, b + common * ldb, ldb, keys, rows - common, cols, fresh: false);
    }

    private static void MultiplyQuad(Real* c, nint ldc, Real* a, nint aRow, nint aDepth, Real* b, nint ldb, int depth, int cols, bool fresh)
    {
        Real* c1 = c + ldc, c2 = c1 + ldc, c3 = c2 + ldc;
        var j = 0;
        for (; j + 2 * Lanes <= cols; j += 2 * Lanes)
        {
            Vector256<Real> s00 = default, s01 = default, s10 = default, s11 = default;
            Vector256<Real> s20 = default, s21 = default, s30 = default, s31 = default;
            if (!fresh)
            {
                s00 = Vector256.Load(c + j);
                s01 = Vector256.Load(c + j + Lanes);
                s10 = Vector256.Load(c1 + j);
                s11 = Vector256.Load(c1 + j + Lanes);
                s20 = Vector256.Load(c2 + j);
                s21 = Vector256.Load(c2 + j + Lanes);
                s30 = Vector256.Load(c3 + j);
                s31 = Vector256.Load(c3 + j + Lanes);
            }
            Real* x = a, y = b + j;
            for (var d = 0; d < depth; d++, x += aDepth, y += ldb)
            {
                var y0 = Vector256.Load(y);
                var y1 = Vector256.Load(y + Lanes);
                var x0 = Vector256.Create(x[0]);
                s00 = Vector256.FusedMultiplyAdd(x0, y0, s00);
                s01 = Vector256.FusedMultiplyAdd(x0, y1, s01);
                var x1 = Vector256.Create(x[aRow]);
                s10 = Vector256.FusedMultiplyAdd(x1, y0, s10);
                s11 = Vector256.FusedMultiplyAdd(x1, y1, s11);
                var x2 = Vector256.Create(x[2 * aRow]);
                s20 = Vector256.FusedMultiplyAdd(x2, y0, s20);
                s21 = Vector256.FusedMultiplyAdd(x2, y1, s21);
                var x3 = Vector256.Create(x[3 * aRow]);
                s30 = Vector256.FusedMultiplyAdd(x3, y0, s30);
                s31 = Vector256.FusedMultiplyAdd(x3, y1, s31);
            }
            s00.Store(c + j);
            s01.Store(c + j + Lanes);
            s10.Store(c1 + j);
            s11.Store(c1 + j + Lanes);
            s20.Store(c2 + j);
            s21.Store(c2 + j + Lanes);
            s30.Store(c3 + j);
            s31.Store(c3 + j + Lanes);
        }
        if (j < cols)
        {
            Vector256<Real> s0 = default, s1 = default, s2 = default, s3 = default;
            if (!fresh)
            {
                s0 = Vector256.Load(c + j);
                s1 = Vector256.Load(c1 + j);
                s2 = Vector256.Load(c2 + j);
                s3 = Vector256.Load(c3 + j);
            }
            Real* x = a, y = b + j;
            for (var d = 0; d < depth; d++, x += aDepth, y += ldb)
            {
                var y0 = Vector256.Load(y);
                s0 = Vector256.FusedMultiplyAdd(Vector256.Create(x[0]), y0, s0);
                s1 = Vector256.FusedMultiplyAdd(Vector256.Create(x[aRow]), y0, s1);
                s2 = Vector256.FusedMultiplyAdd(Vector256.Create(x[2 * aRow]), y0, s2);
                s3 = Vector256.FusedMultiplyAdd(Vector256.Create(x[3 * aRow]), y0, s3);
            }
            s0.Store(c + j);
            s1.Store(c1 + j);
            s2.Store(c2 + j);
            s3.Store(c3 + j);
        }
    }

    private static void MultiplyRow(Real* c, Real* a, nint aDepth, Real* b, nint ldb, int depth, int cols, bool fresh)
    {
        var j = 0;
        for (; j + 4 * Lanes <= cols; j += 4 * Lanes)
        {
            Vector256<Real> s0 = default, s1 = default, s2 = default, s3 = default;
            if (!fresh)
            {
                s0 = Vector256.Load(c + j);
                s1 = Vector256.Load(c + j + Lanes);
                s2 = Vector256.Load(c + j + 2 * Lanes);
                s3 = Vector256.Load(c + j + 3 * Lanes);
            }
            Real* x = a, y = b + j;
            for (var d = 0; d < depth; d++, x += aDepth, y += ldb)
            {
                var x0 = Vector256.Create(*x);
                s0 = Vector256.FusedMultiplyAdd(x0, Vector256.Load(y), s0);
                s1 = Vector256.FusedMultiplyAdd(x0, Vector256.Load(y + Lanes), s1);
                s2 = Vector256.FusedMultiplyAdd(x0, Vector256.Load(y + 2 * Lanes), s2);
                s3 = Vector256.FusedMultiplyAdd(x0, Vector256.Load(y + 3 * Lanes), s3);
            }
            s0.Store(c + j);
            s1.Store(c + j + Lanes);
            s2.Store(c + j + 2 * Lanes);
            s3.Store(c + j + 3 * Lanes);
        }
        for (; j < cols; j += Lanes)
        {
            var s = fresh ? default : Vector256.Load(c + j);
            Real* x = a, y = b + j;
            for (var d = 0; d < depth; d++, x += aDepth, y += ldb)
            {
                s = Vector256.FusedMultiplyAdd(Vector256.Create(*x), Vector256.Load(y), s);
            }
            s.Store(c + j);
        }
    }
}
