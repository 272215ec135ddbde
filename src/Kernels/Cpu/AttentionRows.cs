using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

/// <summary>
/// The forward pass of a few query rows against packed keys and values: the one place where attention's forward arithmetic stands, shared by
/// the segment kernel and by decoding, so that both give a row the same bits.
/// </summary>
internal static unsafe class AttentionRows
{
    /// <summary>Scratch that <see cref="Attend"/> needs for so many rows: sums [rows, width], lane sums [rows, lanes], maxima, scores of a quad.</summary>
    public static int ScratchLength(int rows, int width) =>
        rows * (width + AttentionTile.Lanes) + AttentionTile.Padded(rows) + AttentionTile.Quad * AttentionTile.Keys;

    /// <summary>
    /// Row r of q [rows, headSize] attends to the keys 0..position + r * step of keys (blocks of <see cref="AttentionScratch.PackTransposed"/>)
    /// and values [keys, at least the padded headSize]; o [rows, headSize] and, unless null, lse [rows] are written.
    /// </summary>
    public static void Attend(int rows, int position, int step, int headSize, Real scale, StridedRows q, Real* keys, StridedRows values,
        StridedRows o, Real* lse, Real* scratch)
    {
        var width = AttentionTile.Padded(headSize);
        var sums = scratch;
        var lanes = sums + rows * width;
        var scores = lanes + rows * AttentionTile.Lanes;
        var maxima = scores + AttentionTile.Quad * AttentionTile.Keys;
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
                AttentionTile.Multiply(scores, AttentionTile.Keys, q.At(r, 0), q.Stride, 1, keys + (nint)block * headSize, AttentionTile.Keys,
                    count, headSize, AttentionTile.Padded(lastEnd), fresh: true);
                for (var i = 0; i < count; i++)
                {
                    var end = Math.Min(AttentionTile.Keys, firstEnd + i * step);
                    if (end > 0)
                    {
                        Softmax(scores + i * AttentionTile.Keys, end, scale, maxima + r + i, lanes + (r + i) * AttentionTile.Lanes,
                            sums + (r + i) * width, width);
                    }
                }
                AttentionTile.MultiplyCausal(sums + r * width, width, scores, AttentionTile.Keys, values.At(block, 0), values.Stride, count, firstEnd, step, width);
            }
        }
        for (var r = 0; r < rows; r++)
        {
            var total = LaneSum(Vector256.Load(lanes + r * AttentionTile.Lanes));
            Divide(o.At(r, 0), sums + r * width, total, headSize);
            if (lse != null)
            {
                lse[r] = maxima[r] + (Real)Math.Log(total);
            }
        }
    }

    /// <summary>
    /// One step of the online softmax: scores[0..end) become exp(scale * score - maximum), and where the block raises the maximum, the row's
    /// sums so far are scaled down to it. Lane j % lanes sums the weights of key j.
    /// </summary>
    private static void Softmax(Real* scores, int end, Real scale, Real* maximum, Real* lanes, Real* sums, int width)
    {
        var top = Vector256.Create(Real.NegativeInfinity);
        for (var j = 0; j < end; j += AttentionTile.Lanes)
        {
            var x = Vector256.Load(scores + j) * scale;
            if (j + AttentionTile.Lanes > end)
            {
                x = Vector256.ConditionalSelect(AttentionTile.FirstLanes(end - j), x, Vector256.Create(Real.NegativeInfinity));
            }
            x.Store(scores + j);
            top = Vector256.MaxNative(x, top);
        }
        var weights = Vector256.Load(lanes);
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
            if (j + AttentionTile.Lanes > end)
            {
                weight = Vector256.ConditionalSelect(AttentionTile.FirstLanes(end - j), weight, Vector256<Real>.Zero);
            }
            weight.Store(scores + j);
            weights += weight;
        }
        weights.Store(lanes);
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
