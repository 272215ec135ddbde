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

    /// <summary>Rows that go through the products, and the softmax, together.</summary>
    public static int RowsTogether => Vector512.IsHardwareAccelerated ? AttentionOctet.Rows : AttentionQuad.Rows;

    public static int Lanes => Vector256<Real>.Count;

    /// <summary>n rounded up to whole vectors.</summary>
    public static int Padded(int n) => (n + Lanes - 1) / Lanes * Lanes;

    /// <summary>n rounded up to whole vectors of the widest kind: what is stored with them is soonest loaded with them.</summary>
    public static int WidePadded(int n) =>
        Vector512.IsHardwareAccelerated ? (n + Vector512<Real>.Count - 1) / Vector512<Real>.Count * Vector512<Real>.Count : Padded(n);

    /// <summary>A mask of the lanes [start, end).</summary>
    public static Vector256<Real> LanesWithin(int start, int end) =>
        Vector256.GreaterThanOrEqual(Vector256<Real>.Indices, Vector256.Create((Real)start))
        & Vector256.LessThan(Vector256<Real>.Indices, Vector256.Create((Real)end));

    /// <summary>The same for the wider vectors.</summary>
    public static Vector512<Real> LanesWithin512(int start, int end) =>
        Vector512.GreaterThanOrEqual(Vector512<Real>.Indices, Vector512.Create((Real)start))
        & Vector512.LessThan(Vector512<Real>.Indices, Vector512.Create((Real)end));

    /// <summary>C[rows, cols] (+)= A[rows, depth] B[depth, cols], A[r, d] = a[r * aRow + d * aDepth]. fresh: C starts from 0.</summary>
    public static void Multiply(Real* c, nint ldc, Real* a, nint aRow, nint aDepth, Real* b, nint ldb, int rows, int depth, int cols,
        bool fresh)
    {
        var r = 0;
        for (; Vector512.IsHardwareAccelerated && r + AttentionOctet.Rows <= rows; r += AttentionOctet.Rows)
        {
            MultiplyOctet(c + r * ldc, ldc, a + r * aRow, aRow, aDepth, b, ldb, depth, cols, fresh);
        }
        for (; r + AttentionQuad.Rows <= rows; r += AttentionQuad.Rows)
        {
            AttentionQuad.Multiply(c + r * ldc, ldc, a + r * aRow, aRow, aDepth, b, ldb, new AttentionQuad.Steps(depth), cols, fresh);
        }
        if (r + 2 <= rows)
        {
            AttentionQuad.MultiplyPair(c + r * ldc, ldc, a + r * aRow, aRow, aDepth, b, ldb, depth, cols, fresh);
            r += 2;
        }
        if (r < rows)
        {
            AttentionQuad.MultiplyRow(c + r * ldc, a + r * aRow, aDepth, b, ldb, depth, cols, fresh);
        }
    }

    /// <summary>
    /// C[r, :] += A[r, 0..ends[r]) B for up to <see cref="RowsTogether"/> rows, where ends[r] = firstEnd + r * step within [0, Keys], step 0 or
    /// more: A is the causal triangle, and what lies beyond a row's end is not touched (a later token's NaN must not reach an earlier row as 0 * NaN).
    /// </summary>
    public static void MultiplyCausal(Real* c, nint ldc, Real* a, nint lda, Real* b, nint ldb, int rows, int firstEnd, int step, int cols)
    {
        var (r, shared) = (0, 0);
        if (Vector512.IsHardwareAccelerated && rows == AttentionOctet.Rows)
        {
            // The keys that all eight see; the corner behind them is the quads'.
            shared = Math.Clamp(firstEnd, 0, Keys);
            MultiplyOctet(c, ldc, a, lda, 1, b, ldb, shared, cols, fresh: false);
            if (shared == Keys)
            {
                return;
            }
        }
        for (; r + AttentionQuad.Rows <= rows; r += AttentionQuad.Rows)
        {
            var steps = AttentionQuad.Steps.Ending(shared, firstEnd + r * step, step);
            AttentionQuad.Multiply(c + r * ldc, ldc, a + r * lda, lda, 1, b, ldb, steps, cols, fresh: false);
        }
        if (r + 2 <= rows)
        {
            // What both see, then what the second sees alone.
            int end = Math.Clamp(firstEnd + r * step, 0, Keys), secondEnd = Math.Clamp(firstEnd + (r + 1) * step, 0, Keys);
            AttentionQuad.MultiplyPair(c + r * ldc, ldc, a + r * lda, lda, 1, b, ldb, end, cols, fresh: false);
            MultiplyWithin(c + (r + 1) * ldc, a + (r + 1) * lda, 1, b, ldb, end, secondEnd, cols);
            r += 2;
        }
        if (r < rows)
        {
            AttentionQuad.MultiplyRow(c + r * ldc, a + r * lda, 1, b, ldb, Math.Clamp(firstEnd + r * step, 0, Keys), cols, fresh: false);
        }
    }

    /// <summary>
    /// C[j, :] += sum over r in [starts[j], rows) of A[r, j] B[r, :] for as many keys j, where starts[j] = firstStart + j within
    /// [0, rows]: the transposed product of the same triangle, with the same care.
    /// </summary>
    public static void MultiplyCausalTransposed(Real* c, nint ldc, Real* a, nint lda, Real* b, nint ldb, int keys, int firstStart,
        int rows, int cols)
    {
        // The rows that see all eight keys come last in the chain; before them the corner is the quads'.
        var whole = Vector512.IsHardwareAccelerated && keys == AttentionOctet.Rows;
        var (j, corner) = (0, whole ? Math.Clamp(firstStart + keys - 1, 0, rows) : rows);
        for (; j + AttentionQuad.Rows <= keys && corner > Math.Max(0, firstStart); j += AttentionQuad.Rows)
        {
            var steps = AttentionQuad.Steps.Starting(firstStart + j, corner);
            AttentionQuad.Multiply(c + j * ldc, ldc, a + j, 1, lda, b, ldb, steps, cols, fresh: false);
        }
        if (whole)
        {
            MultiplyOctet(c, ldc, a + corner * lda, 1, lda, b + corner * ldb, ldb, rows - corner, cols, fresh: false);
            return;
        }
        for (; j < keys; j++)
        {
            var start = Math.Clamp(firstStart + j, 0, rows);
            AttentionQuad.MultiplyRow(c + j * ldc, a + j + start * lda, lda, b + start * ldb, ldb, rows - start, cols, fresh: false);
        }
    }

    /// <summary>C += A[start..end) B[start..end, :] of one row, A[d] = a[d * aDepth], the chain that it is among others; nothing where end &lt;= start.</summary>
    public static void MultiplyWithin(Real* c, Real* a, nint aDepth, Real* b, nint ldb, int start, int end, int cols) =>
        AttentionQuad.MultiplyRow(c, a + start * aDepth, aDepth, b + start * ldb, ldb, Math.Max(0, end - start), cols, fresh: false);

    private static void MultiplyOctet(Real* c, nint ldc, Real* a, nint aRow, nint aDepth, Real* b, nint ldb, int depth, int cols, bool fresh)
    {
        var j = AttentionOctet.Multiply(c, ldc, a, aRow, aDepth, b, ldb, depth, cols, fresh);
        for (var r = 0; r < AttentionOctet.Rows && j < cols; r += AttentionQuad.Rows)
        {
            AttentionQuad.Multiply(c + r * ldc + j, ldc, a + r * aRow, aRow, aDepth, b + j, ldb, new AttentionQuad.Steps(depth), cols - j, fresh);
        }
    }
}
