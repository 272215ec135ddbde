using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

/// <summary>
/// The forward pass of a few query rows against packed keys and values: the one place where attention's forward arithmetic stands, shared
/// by the segment kernel and by decoding, so that both give a row the same bits.
/// </summary>
internal static unsafe class AttentionRows
{
    /// <summary>Numbers of scratch that <see cref="Attend"/> needs for so many rows.</summary>
    public static int ScratchLength(int rows, int width) =>
        rows * (width + AttentionTile.Lanes) + AttentionTile.Quad * AttentionTile.Keys + 2 * AttentionTile.Padded(rows);

    /// <summary>
    /// Row r of q [rows, headSize] attends to the keys 0..position + r * step. keys are <see cref="AttentionScratch.PackTransposed"/>'s
    /// blocks, values [keys, at least the padded headSize]; o [rows, headSize] and, unless null, lse [rows] are written.
    /// </summary>
    public static void Attend(int rows, int position, int step, int headSize, Real scale, StridedRows q, Real* keys, StridedRows values,
        StridedRows o, Real* lse, Real* scratch)
    {
        var width = AttentionTile.Padded(headSize);
        var sums = scratch; // [rows, width]: of weight * value
        var laneSums = sums + rows * width; // [rows, lanes]: of weights, in lane j % lanes that of key j
        var scores = laneSums + rows * AttentionTile.Lanes; // [quad, keys of a block]
        var maxima = scores + AttentionTile.Quad * AttentionTile.Keys; // [rows]
        var totals = maxima + AttentionTile.Padded(rows); // [rows]
        AttentionScratch.Clear(sums, rows * (width + AttentionTile.Lanes));
        new Span<Real>(maxima, rows).Fill(Real.NegativeInfinity);

        for (var block = 0; block <= position + (rows - 1) * step; block += AttentionTile.Keys)
        {
            for (var r = 0; r < rows; r += AttentionTile.Quad)
            {
                var count = Math.Min(AttentionTile.Quad, rows - r);
                var firstEnd = position + r * step + 1 - block;
                var lastEnd = Math.Min(AttentionTile.Keys, firstEnd + (count - 1) * step);
                if (lastEnd <= 0)
                {
                    continue;
                }
                AttentionTile.Multiply(scores, AttentionTile.Keys, q.At(r, 0), q.Stride, 1, keys + (nint)block * headSize,
                    AttentionTile.Keys, count, headSize, AttentionTile.Padded(lastEnd), fresh: true);
                // The same trip counts for all rows of a quad: branches that the processor predicts.
                var whole = Math.Clamp(firstEnd, 0, AttentionTile.Keys) / AttentionTile.Lanes * AttentionTile.Lanes;
                for (var i = 0; i < count; i++)
                {
                    Softmax(scores + i * AttentionTile.Keys, whole, lastEnd, firstEnd + i * step, scale, maxima + r + i,
                        laneSums + (r + i) * AttentionTile.Lanes, sums + (r + i) * width, width);
                }
                AttentionTile.MultiplyCausal(sums + r * width, width, scores, AttentionTile.Keys, values.At(block, 0), values.Stride,
                    count, firstEnd, step, width);
            }
        }
        for (var r = 0; r < rows; r++)
        {
            totals[r] = LaneSum(Vector256.Load(laneSums + r * AttentionTile.Lanes));
            Divide(o.At(r, 0), sums + r * width, totals[r], headSize);
        }
        if (lse != null)
        {
            for (var r = 0; r < rows; r += AttentionTile.Lanes)
            {
                (Vector256.Load(maxima + r) + VectorMath.Log(Vector256.Load(totals + r))).Store(totals + r);
            }
            new Span<Real>(totals, rows).CopyTo(new Span<Real>(lse, rows));
        }
    }

    /// <summary>
    /// One step of the online softmax: scores[0..end) become exp(scale * score - maximum), those at or beyond rowEnd 0, and where the block
    /// raises the maximum, the row's sums so far are scaled down to it. No row ends before whole, a number of whole vectors.
    /// </summary>
    private static void Softmax(Real* scores, int whole, int end, int rowEnd, Real scale, Real* maximum, Real* laneSums, Real* sums,
        int width)
    {
        var lowest = Vector256.Create(Real.NegativeInfinity);
        var top = lowest;
        for (var j = 0; j < end; j += AttentionTile.Lanes)
        {
            var x = Vector256.Load(scores + j) * scale;
            if (j >= whole)
            {
                x = Vector256.ConditionalSelect(AttentionTile.FirstLanes(rowEnd - j), x, lowest);
            }
            x.Store(scores + j);
            top = Vector256.MaxNative(x, top);
        }
        var weights = Vector256.Load(laneSums);
        var (before, now) = (*maximum, LaneMax(top));
        if (now > before)
        {
            *maximum = now;
            if (before > Real.NegativeInfinity)
            {
                var factor = VectorMath.Exp(Vector256.Create(before - now));
                weights *= factor;
                for (var d = 0; d < width; d += AttentionTile.Lanes)
                {
                    (Vector256.Load(sums + d) * factor).Store(sums + d);
                }
            }
        }
        var reference = Vector256.Create(*maximum);
        for (var j = 0; j < end; j += AttentionTile.Lanes)
        {
            var weight = VectorMath.Exp(Vector256.Load(scores + j) - reference);
            if (j >= whole)
            {
                weight = Vector256.ConditionalSelect(AttentionTile.FirstLanes(rowEnd - j), weight, Vector256<Real>.Zero);
            }
            weight.Store(scores + j);
            weights += weight;
        }
        weights.Store(laneSums);
    }

    private static void Divide(Real* o, Real* sums, Real total, int headSize)
    {
        var d = 0;
        for (; d + AttentionTile.Lanes <= headSize; d += AttentionTile.Lanes)
        {
            (Vector256.Load(sums + d) / total).Store(o + d);
        }
        for (; d < headSize; d++)
        {
            o[d] = sums[d] / total;
        }
    }

    private static Real LaneMax(Vector256<Real> x)
    {
        var half = Vector128.MaxNative(x.GetLower(), x.GetUpper());
        var pair = Math.Max(half.GetElement(0), half.GetElement(1));
        return Vector128<Real>.Count == 2 ? pair : Math.Max(pair, Math.Max(half.GetElement(2), half.GetElement(3)));
    }

    /// <summary>In a fixed order of our own: the halves first, then lane after lane.</summary>
    internal static Real LaneSum(Vector256<Real> x)
    {
        var half = x.GetLower() + x.GetUpper();
        var pair = half.GetElement(0) + half.GetElement(1);
        return Vector128<Real>.Count == 2 ? pair : pair + (half.GetElement(2) + half.GetElement(3));
    }
}
