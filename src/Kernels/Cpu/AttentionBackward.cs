using System.Numerics;
using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

internal static unsafe partial class SegmentAttention
{
    /// <summary>
    /// Given dO = d loss / d o, and q, k, v with the o and lse that <see cref="Forward"/> made of them, writes (accumulate: adds) dq, dk
    /// and dv. Each gradient has the shape and stride of what it belongs to. The weights are recomputed from lse, tile by tile.
    /// </summary>
    /// <remarks>
    /// One task owns a group and a key/value head, and with them every dq, dk and dv that it adds to. A key's gradient is one chain of
    /// fused multiply-adds over segments (the root, then its dependents in order), within a segment over the query heads, within a head
    /// over the queries; a query's gradient one chain over its keys. No bit depends on the thread count or the batch.
    /// </remarks>
    /// <exception cref="ArgumentException">heads is no multiple of kvHeads.</exception>
    public static void Backward(WorkerTeam team, SegmentLayout layout, int heads, int kvHeads, int headSize, Real scale,
        Real* q, int ldq, Real* k, int ldk, Real* v, int ldv, Real* o, int ldo, Real* lse,
        Real* dO, Real* dq, Real* dk, Real* dv, bool accumulate, int? window = null)
    {
        fixed (Segment* segments = layout.Segments)
        fixed (int* groupStarts = layout.GroupStarts)
        {
            var problem = Describe(layout, segments, groupStarts, heads, kvHeads, headSize, scale, window);
            problem.Q = new StridedRows(q, ldq);
            problem.K = new StridedRows(k, ldk);
            problem.V = new StridedRows(v, ldv);
            problem.O = new StridedRows(o, ldo);
            problem.Lse = lse;
            problem.DO = new StridedRows(dO, ldo);
            problem.DQ = new StridedRows(dq, ldq);
            problem.DK = new StridedRows(dk, ldk);
            problem.DV = new StridedRows(dv, ldv);
            problem.Accumulate = accumulate;
            team.For(layout.Groups * kvHeads, Grain(layout), problem, static (problem, from, to) => BackwardRange(problem, from, to));
        }
    }

    /// <summary>Bytes that a worker takes for its scratch, from a pool that deals in powers of two.</summary>
    public static long ScratchBytes(SegmentLayout layout, int headSize)
    {
        var shape = new Problem { HeadSize = headSize, Width = AttentionTile.Padded(headSize), KeyCapacity = AttentionScratch.BlockCapacity(layout.LongestSequence) };
        return (long)BitOperations.RoundUpToPowerOf2((ulong)BackwardScratch.Length(shape)) * sizeof(Real);
    }

    /// <summary>A worker's scratch: the group's packed keys and values with their gradients, and the tile at work.</summary>
    private readonly ref struct BackwardScratch
    {
        public readonly Real* KeysTransposed, ValuesTransposed, Keys, DKeys, DValues;
        public readonly Real* Weights, DScores, Queries, DOutputs, DQueries, Corrections;

        public static long Length(in Problem problem) =>
            (long)problem.KeyCapacity * (2 * problem.HeadSize + 3 * problem.Width)
            + TileRows * (2 * AttentionTile.Keys + 3 * problem.Width + 1);

        public BackwardScratch(in Problem problem, Real* start)
        {
            var transposed = (nint)problem.KeyCapacity * problem.HeadSize;
            var rows = (nint)problem.KeyCapacity * problem.Width;
            KeysTransposed = start;
            ValuesTransposed = KeysTransposed + transposed;
            Keys = ValuesTransposed + transposed;
            DKeys = Keys + rows;
            DValues = DKeys + rows;
            Weights = DValues + rows;
            DScores = Weights + TileRows * AttentionTile.Keys;
            Queries = DScores + TileRows * AttentionTile.Keys;
            DOutputs = Queries + TileRows * problem.Width;
            DQueries = DOutputs + TileRows * problem.Width;
            Corrections = DQueries + TileRows * problem.Width;
        }
    }

    private static void BackwardRange(in Problem problem, int from, int to)
    {
        var array = AttentionScratch.Rent(BackwardScratch.Length(problem));
        fixed (Real* start = array)
        {
            var scratch = new BackwardScratch(problem, AttentionScratch.Align(start));
            for (var task = from; task < to; task++)
            {
                BackwardGroup(problem, task / problem.KvHeads, task % problem.KvHeads, scratch);
            }
        }
        AttentionScratch.Return(array);
    }

    private static void BackwardGroup(in Problem problem, int group, int kvHead, in BackwardScratch scratch)
    {
        var (headSize, width) = (problem.HeadSize, problem.Width);
        var (first, end) = (problem.GroupStarts[group], problem.GroupStarts[group + 1]);
        for (var s = first; s < end; s++)
        {
            // As in the forward pass, each dependent's own keys overwrite those of the dependent before, behind the root's.
            var segment = problem.Segments[s];
            var (prefix, length) = (segment.PrefixLength, segment.Length);
            var k = problem.K.From(segment.Start, kvHead * headSize);
            var v = problem.V.From(segment.Start, kvHead * headSize);
            AttentionScratch.PackTransposed(scratch.KeysTransposed, prefix, k, length, headSize);
            AttentionScratch.PackTransposed(scratch.ValuesTransposed, prefix, v, length, headSize);
            AttentionScratch.PackRows(scratch.Keys + (nint)prefix * width, width, k, length, headSize);
            AttentionScratch.Clear(scratch.DKeys + (nint)prefix * width, (nint)length * width);
            AttentionScratch.Clear(scratch.DValues + (nint)prefix * width, (nint)length * width);
            for (var h = kvHead * problem.HeadsPerKvHead; h < (kvHead + 1) * problem.HeadsPerKvHead; h++)
            {
                var asking = segment.FirstAsking(problem.RootsAskLast);
                ClearQueryGradients(problem, h, segment.Start, asking);
                for (var i = asking; i < length; i += TileRows)
                {
                    BackwardTile(problem, h, segment.Start + i, Math.Min(TileRows, length - i), prefix + i, scratch);
                }
            }
            if (s > first)
            {
                UnpackKeyGradients(problem, kvHead, segment, scratch);
            }
        }
        UnpackKeyGradients(problem, kvHead, problem.Segments[first], scratch);
    }

    /// <summary>The gradient of queries that nobody asked: 0.</summary>
    private static void ClearQueryGradients(in Problem problem, int head, int row, int count)
    {
        for (var i = 0; i < count && !problem.Accumulate; i++)
        {
            AttentionScratch.Clear(problem.DQ.At(row + i, head * problem.HeadSize), problem.HeadSize);
        }
    }

    private static void UnpackKeyGradients(in Problem problem, int kvHead, Segment segment, in BackwardScratch scratch)
    {
        var packed = (nint)segment.PrefixLength * problem.Width;
        nint row = segment.Start, column = kvHead * problem.HeadSize;
        AttentionScratch.Unpack(problem.DK.From(row, column), scratch.DKeys + packed, problem.Width,
            segment.Length, problem.HeadSize, problem.Accumulate);
        AttentionScratch.Unpack(problem.DV.From(row, column), scratch.DValues + packed, problem.Width,
            segment.Length, problem.HeadSize, problem.Accumulate);
    }

    /// <summary>Rows token..token + rows - 1 of one head, the first at this position of its sequence, against all keys they see.</summary>
    private static void BackwardTile(in Problem problem, int head, int token, int rows, int position, in BackwardScratch scratch)
    {
        const int keys = AttentionTile.Keys;
        var (headSize, width) = (problem.HeadSize, problem.Width);
        nint row = token, column = head * headSize;
        var lse = problem.Lse + (nint)head * problem.Tokens + row;
        var ahead = Math.Clamp(problem.Tokens - token - TileRows, 0, TileRows);
        foreach (var next in (ReadOnlySpan<StridedRows>)[problem.Q, problem.O, problem.DO, problem.DQ])
        {
            AttentionScratch.Prefetch(next.From(row + TileRows, column), ahead, headSize);
        }
        AttentionScratch.PackRows(scratch.Queries, width, problem.Q.From(row, column), rows, headSize);
        AttentionScratch.PackRows(scratch.DOutputs, width, problem.DO.From(row, column), rows, headSize);
        AttentionScratch.Clear(scratch.DQueries, rows * width);
        for (var r = 0; r < rows; r++)
        {
            scratch.Corrections[r] = Dot(problem.DO.At(row + r, column), problem.O.At(row + r, column), headSize);
        }

        var window = problem.Window;
        for (var block = AttentionRows.FirstBlock(position, window); block < position + rows; block += keys)
        {
            for (var r = 0; r < rows; r += AttentionTile.RowsTogether)
            {
                var count = Math.Min(AttentionTile.RowsTogether, rows - r);
                var firstEnd = position + r + 1 - block;
                var lastEnd = Math.Min(keys, firstEnd + count - 1);
                if (lastEnd <= 0 || firstEnd - window >= keys)
                {
                    continue;
                }
                var weights = scratch.Weights + r * keys;
                var dScores = scratch.DScores + r * keys;
                AttentionTile.Multiply(weights, keys, scratch.Queries + r * width, width, 1,
                    scratch.KeysTransposed + (nint)block * headSize, keys, count, headSize, AttentionTile.WidePadded(lastEnd), fresh: true);
                AttentionTile.Multiply(dScores, keys, scratch.DOutputs + r * width, width, 1,
                    scratch.ValuesTransposed + (nint)block * headSize, keys, count, headSize, AttentionTile.WidePadded(lastEnd), fresh: true);
                for (var i = 0; i < count; i++)
                {
                    SoftmaxBackward(weights + i * keys, dScores + i * keys, lastEnd, problem.Scale, lse[r + i], scratch.Corrections[r + i]);
                }
                if (firstEnd + count - 1 <= window)
                {
                    AttentionTile.MultiplyCausal(scratch.DQueries + r * width, width, dScores, keys, scratch.Keys + (nint)block * width, width,
                        count, firstEnd, step: 1, width);
                    continue;
                }
                for (var i = 0; i < count; i++)
                {
                    AttentionTile.MultiplyWithin(scratch.DQueries + (r + i) * width, dScores + i * keys, 1, scratch.Keys + (nint)block * width, width,
                        Math.Max(0, firstEnd + i - window), Math.Min(keys, firstEnd + i), width);
                }
            }
            for (var j = 0; j < Math.Min(keys, position + rows - block); j += AttentionTile.RowsTogether)
            {
                var count = Math.Min(AttentionTile.RowsTogether, position + rows - block - j);
                var packed = (nint)(block + j) * width;
                var firstStart = block + j - position;
                if (firstStart + window < rows)
                {
                    // The last rows see no longer the first of these keys.
                    for (var i = 0; i < count; i++)
                    {
                        var (start, end) = (Math.Max(0, firstStart + i), Math.Min(rows, firstStart + i + window));
                        AttentionTile.MultiplyWithin(scratch.DValues + packed + i * width, scratch.Weights + j + i, keys, scratch.DOutputs, width,
                            start, end, width);
                        AttentionTile.MultiplyWithin(scratch.DKeys + packed + i * width, scratch.DScores + j + i, keys, scratch.Queries, width,
                            start, end, width);
                    }
                    continue;
                }
                AttentionTile.MultiplyCausalTransposed(scratch.DValues + packed, width, scratch.Weights + j, keys, scratch.DOutputs, width,
                    count, firstStart, rows, width);
                AttentionTile.MultiplyCausalTransposed(scratch.DKeys + packed, width, scratch.DScores + j, keys, scratch.Queries, width,
                    count, firstStart, rows, width);
            }
        }
        AttentionScratch.Unpack(problem.DQ.From(row, column), scratch.DQueries, width, rows, headSize, problem.Accumulate);
    }

    /// <summary>
    /// Turns a row's raw scores into its weights p = exp(scale * score - lse), and the gradients dp of the weights into those of the raw
    /// scores, scale * p (dp - correction), where correction = sum over all keys of p dp = dO · o. Keys that the row may not see give
    /// numbers that nobody reads.
    /// </summary>
    private static void SoftmaxBackward(Real* scores, Real* dWeights, int end, Real scale, Real lse, Real correction)
    {
        var j = 0;
        for (; Vector512.IsHardwareAccelerated && j < end; j += Vector512<Real>.Count)
        {
            var weight = VectorMath.Exp(Vector512.Load(scores + j) * scale - Vector512.Create(lse));
            weight.Store(scores + j);
            (weight * (Vector512.Load(dWeights + j) - Vector512.Create(correction)) * scale).Store(dWeights + j);
        }
        for (; j < end; j += AttentionTile.Lanes)
        {
            var weight = VectorMath.Exp(Vector256.Load(scores + j) * scale - Vector256.Create(lse));
            weight.Store(scores + j);
            (weight * (Vector256.Load(dWeights + j) - Vector256.Create(correction)) * scale).Store(dWeights + j);
        }
    }

    private static Real Dot(Real* a, Real* b, int count)
    {
        var lanes = Vector256<Real>.Zero;
        var i = 0;
        for (; i + AttentionTile.Lanes <= count; i += AttentionTile.Lanes)
        {
            lanes = Vector256.FusedMultiplyAdd(Vector256.Load(a + i), Vector256.Load(b + i), lanes);
        }
        var sum = AttentionRows.LaneSum(lanes);
        for (; i < count; i++)
        {
            sum = Real.FusedMultiplyAdd(a[i], b[i], sum);
        }
        return sum;
    }
}
