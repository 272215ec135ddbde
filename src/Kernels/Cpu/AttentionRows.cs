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
        rows * (width + AttentionTile.Lanes) + AttentionTile.RowsTogether * (AttentionTile.Keys + 1) + 2 * AttentionTile.Padded(rows);

    /// <summary>
    /// Row r of q [rows, headSize] attends to the last window, or all, of the keys 0..position + r * step. keys are headSize numbers of each of
    /// <see cref="AttentionScratch.PackTransposed"/>'s keys, which are of keyWidth, from the pointer on; values are [keys, at least the padded
    /// headSize]; o [rows, headSize] and, unless null, lse [rows] are written.
    /// </summary>
    public static void Attend(int rows, int position, int step, int window, int headSize, Real scale, StridedRows q, Real* keys, int keyWidth,
        StridedRows values, StridedRows o, Real* lse, Real* scratch)
    {
        var width = AttentionTile.Padded(headSize);
        var sums = scratch; // [rows, width]: of weight * value
        var laneSums = sums + rows * width; // [rows, lanes]: of weights, in lane j % lanes that of key j
        var scores = laneSums + rows * AttentionTile.Lanes; // [rows together, keys of a block]
        var maxima = scores + AttentionTile.RowsTogether * AttentionTile.Keys; // [rows]
        var totals = maxima + AttentionTile.Padded(rows); // [rows]
        var tops = totals + AttentionTile.Padded(rows); // [rows together]: of their scores in this block
        AttentionScratch.Clear(sums, rows * (width + AttentionTile.Lanes));
        new Span<Real>(maxima, rows).Fill(Real.NegativeInfinity);

        for (var block = FirstBlock(position, window); block <= position + (rows - 1) * step; block += AttentionTile.Keys)
        {
            for (var r = 0; r < rows; r += AttentionTile.RowsTogether)
            {
                var count = Math.Min(AttentionTile.RowsTogether, rows - r);
                var firstEnd = position + r * step + 1 - block;
                var lastEnd = Math.Min(AttentionTile.Keys, firstEnd + (count - 1) * step);
                var windowed = firstEnd + (count - 1) * step > window; // the window ends within this block for some row
                if (lastEnd <= 0 || firstEnd - window >= AttentionTile.Keys)
                {
                    continue;
                }
                AttentionTile.Multiply(scores, AttentionTile.Keys, q.At(r, 0), q.Stride, 1, keys + (nint)block * keyWidth,
                    AttentionTile.Keys, count, headSize, AttentionTile.WidePadded(lastEnd), fresh: true);
                // The same trip counts for all rows together: branches that the processor predicts.
                var whole = windowed ? 0 : Math.Clamp(firstEnd, 0, AttentionTile.Keys) / AttentionTile.Lanes * AttentionTile.Lanes;
                for (var i = 0; i < count; i++)
                {
                    tops[i] = Scale(scores + i * AttentionTile.Keys, whole, lastEnd, firstEnd + i * step, window, scale);
                }
                for (var i = 0; i < count; i++)
                {
                    RaiseMaximum(tops[i], maxima + r + i, laneSums + (r + i) * AttentionTile.Lanes, sums + (r + i) * width, width);
                }
                for (var i = 0; i < count; i++)
                {
                    Weigh(scores + i * AttentionTile.Keys, whole, lastEnd, firstEnd + i * step, window, maxima[r + i],
                        laneSums + (r + i) * AttentionTile.Lanes);
                }
                if (!windowed)
                {
                    AttentionTile.MultiplyCausal(sums + r * width, width, scores, AttentionTile.Keys, values.At(block, 0), values.Stride,
                        count, firstEnd, step, width);
                    continue;
                }
                for (var i = 0; i < count; i++)
                {
                    var end = firstEnd + i * step;
                    AttentionTile.MultiplyWithin(sums + (r + i) * width, scores + i * AttentionTile.Keys, 1, values.At(block, 0), values.Stride,
                        Math.Max(0, end - window), Math.Min(AttentionTile.Keys, end), width);
                }
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

    /// <summary>The block in which the first key lies that a query at this position sees.</summary>
    public static int FirstBlock(int position, int window) => Math.Max(0, position + 1 - window) / AttentionTile.Keys * AttentionTile.Keys;

    /// <summary>
    /// The online softmax, first part: a row's scores[0..end) times scale, those outside [rowEnd - window, rowEnd) -infinity; returns the
    /// highest. Every row sees the keys before whole, a number of whole vectors; scores has room for whole wide vectors. The three parts each
    /// go over all rows together: a row's wait for its maximum is then filled with the others' work.
    /// </summary>
    private static Real Scale(Real* scores, int whole, int end, int rowEnd, int window, Real scale)
    {
        var j = 0;
        if (Vector512.IsHardwareAccelerated)
        {
            var lowest512 = Vector512.Create(Real.NegativeInfinity);
            var top512 = lowest512;
            for (; j < end; j += Vector512<Real>.Count)
            {
                var x = Vector512.Load(scores + j) * scale;
                x = j + Vector512<Real>.Count <= whole ? x : Vector512.ConditionalSelect(AttentionTile.LanesWithin512(rowEnd - window - j, rowEnd - j), x, lowest512);
                x.Store(scores + j);
                top512 = Vector512.MaxNative(x, top512);
            }
            return LaneMax(Vector256.MaxNative(top512.GetLower(), top512.GetUpper()));
        }
        var lowest = Vector256.Create(Real.NegativeInfinity);
        var top = lowest;
        for (; j < end; j += AttentionTile.Lanes)
        {
            var x = Vector256.Load(scores + j) * scale;
            x = j < whole ? x : Vector256.ConditionalSelect(AttentionTile.LanesWithin(rowEnd - window - j, rowEnd - j), x, lowest);
            x.Store(scores + j);
            top = Vector256.MaxNative(x, top);
        }
        return LaneMax(top);
    }

    /// <summary>Second part: where this block raises a row's maximum, the row's sums so far are scaled down to it.</summary>
    private static void RaiseMaximum(Real now, Real* maximum, Real* laneSums, Real* sums, int width)
    {
        var before = *maximum;
        if (!(now > before))
        {
            return;
        }
        *maximum = now;
        if (before > Real.NegativeInfinity)
        {
            var factor = VectorMath.Exp(Vector256.Create(before - now));
            (Vector256.Load(laneSums) * factor).Store(laneSums);
            for (var d = 0; d < width; d += AttentionTile.Lanes)
            {
                (Vector256.Load(sums + d) * factor).Store(sums + d);
            }
        }
    }

    /// <summary>Third part: the scores become exp(score - maximum), those outside [rowEnd - window, rowEnd) 0, and are added to the lanes' sums.</summary>
    private static void Weigh(Real* scores, int whole, int end, int rowEnd, int window, Real maximum, Real* laneSums)
    {
        // A key that the row may not see is given the exponent 0: that of -infinity would be a denormal number on the way, a hundred times slower.
        var weights = Vector256.Load(laneSums);
        var j = 0;
        for (; Vector512.IsHardwareAccelerated && j < end; j += Vector512<Real>.Count)
        {
            var x = Vector512.Load(scores + j) - Vector512.Create(maximum);
            if (j + Vector512<Real>.Count <= whole)
            {
                x = VectorMath.Exp(x);
            }
            else
            {
                var seen = AttentionTile.LanesWithin512(rowEnd - window - j, rowEnd - j);
                x = VectorMath.Exp(x & seen) & seen;
            }
            x.Store(scores + j);
            // The order of the narrower loop; zeros change nothing.
            weights += x.GetLower();
            weights += x.GetUpper();
        }
        for (; j < end; j += AttentionTile.Lanes)
        {
            var x = Vector256.Load(scores + j) - Vector256.Create(maximum);
            if (j < whole)
            {
                x = VectorMath.Exp(x);
            }
            else
            {
                var seen = AttentionTile.LanesWithin(rowEnd - window - j, rowEnd - j);
                x = VectorMath.Exp(x & seen) & seen;
            }
            x.Store(scores + j);
            weights += x;
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
        var pair = Real.MaxNative(half.GetElement(0), half.GetElement(1));
        return Vector128<Real>.Count == 2 ? pair : Real.MaxNative(pair, Real.MaxNative(half.GetElement(2), half.GetElement(3)));
    }

    /// <summary>In a fixed order of our own: the halves first, then lane after lane.</summary>
    internal static Real LaneSum(Vector256<Real> x)
    {
        var half = x.GetLower() + x.GetUpper();
        var pair = half.GetElement(0) + half.GetElement(1);
        return Vector128<Real>.Count == 2 ? pair : pair + (half.GetElement(2) + half.GetElement(3));
    }
}
