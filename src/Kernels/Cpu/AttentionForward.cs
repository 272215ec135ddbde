using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

/// <summary>
/// Causal attention over packed segments that may share a prefix, with grouped query heads: head h reads key/value head
/// h / (heads / kvHeads); with a window a query sees only the last so many keys up to its own. q, o are [tokens, heads * headSize]; k, v are [tokens, kvHeads * headSize], each with its own row stride;
/// lse [heads, tokens] keeps each row's log-sum-exp of the scaled scores. Scores are tiles with an online softmax (Dao et al. 2022,
/// "FlashAttention"): nothing of size tokens x tokens exists.
/// </summary>
/// <remarks>
/// Bits: a row works over its sequence's own key index (prefix, then segment) in blocks at multiples of <see cref="AttentionTile.Keys"/>,
/// and never touches a key that it may not see. So its output depends on its own query, keys and values alone: not on the batch, the thread
/// count, or whether its prompt is a shared prefix.
/// </remarks>
internal static unsafe partial class SegmentAttention
{
    /// <summary>Query rows that go through the keys together, so that a block of keys and values serves them from cache.</summary>
    private const int TileRows = 32;

    /// <summary>What every task of one call needs, shapes as above; the gradients are empty in the forward pass.</summary>
    private struct Problem
    {
        public Segment* Segments;
        public int* GroupStarts;
        public int Tokens, Heads, KvHeads, HeadSize, Width, KeyCapacity, Window;
        public Real Scale;
        public StridedRows Q, K, V, O, DO, DQ, DK, DV;
        public Real* Lse;
        public bool Accumulate, RootsAskLast;

        public readonly int HeadsPerKvHead => Heads / KvHeads;
    }

    /// <summary>Writes o and lse.</summary>
    /// <exception cref="ArgumentException">heads is no multiple of kvHeads.</exception>
    public static void Forward(WorkerTeam team, SegmentLayout layout, int heads, int kvHeads, int headSize, Real scale,
        Real* q, int ldq, Real* k, int ldk, Real* v, int ldv, Real* o, int ldo, Real* lse, int? window = null)
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
            team.For(layout.Groups * kvHeads, Grain(layout), problem, static (problem, from, to) => ForwardRange(problem, from, to));
        }
    }

    private static Problem Describe(SegmentLayout layout, Segment* segments, int* groupStarts, int heads, int kvHeads, int headSize,
        Real scale, int? window)
    {
        CheckHeads(heads, kvHeads, headSize);
        return new Problem
        {
            Segments = segments,
            GroupStarts = groupStarts,
            Tokens = layout.Tokens,
            Heads = heads,
            KvHeads = kvHeads,
            HeadSize = headSize,
            Width = AttentionTile.Padded(headSize),
            KeyCapacity = AttentionScratch.BlockCapacity(layout.LongestSequence),
            Scale = scale,
            Window = EffectiveWindow(window, layout.LongestSequence),
            RootsAskLast = layout.RootsAskLast,
        };
    }

    /// <summary>The window as a number of keys, the whole sequence where there is none.</summary>
    internal static int EffectiveWindow(int? window, int longest)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(window ?? 1, 1, nameof(window));
        return Math.Min(window ?? longest, longest);
    }

    internal static void CheckHeads(int heads, int kvHeads, int headSize)
    {
        if (kvHeads < 1 || heads < 1 || headSize < 1 || heads % kvHeads != 0)
        {
            throw new ArgumentException($"{heads} heads of size {headSize} cannot share {kvHeads} key/value heads evenly.");
        }
    }

    /// <summary>A task is one group and one key/value head. Short groups are taken several at a time: about 256 tokens.</summary>
    private static int Grain(SegmentLayout layout) => Math.Max(1, (int)(256L * layout.Groups / Math.Max(1, layout.Tokens)));

    private static void ForwardRange(in Problem problem, int from, int to)
    {
        var transposed = (long)problem.KeyCapacity * problem.HeadSize;
        var rows = (long)problem.KeyCapacity * problem.Width;
        var array = AttentionScratch.Rent(transposed + rows + AttentionRows.ScratchLength(TileRows, problem.Width));
        fixed (Real* start = array)
        {
            var keys = AttentionScratch.Align(start);
            var values = keys + transposed;
            for (var task = from; task < to; task++)
            {
                ForwardGroup(problem, task / problem.KvHeads, task % problem.KvHeads, keys, values, scratch: values + rows);
            }
        }
        AttentionScratch.Return(array);
    }

    private static void ForwardGroup(in Problem problem, int group, int kvHead, Real* keys, Real* values, Real* scratch)
    {
        var (headSize, width) = (problem.HeadSize, problem.Width);
        nint kvColumn = (nint)kvHead * headSize;
        for (var s = problem.GroupStarts[group]; s < problem.GroupStarts[group + 1]; s++)
        {
            // The root's keys stay packed in front; each dependent puts its own behind them, over those of the dependent before.
            var segment = problem.Segments[s];
            var (prefix, start, length) = (segment.PrefixLength, (nint)segment.Start, segment.Length);
            AttentionScratch.PackTransposed(keys, prefix, problem.K.From(start, kvColumn), length, headSize);
            AttentionScratch.PackRows(values + (nint)prefix * width, width, problem.V.From(start, kvColumn), length, headSize);
            for (var h = kvHead * problem.HeadsPerKvHead; h < (kvHead + 1) * problem.HeadsPerKvHead; h++)
            {
                nint column = (nint)h * headSize;
                for (var i = segment.FirstAsking(problem.RootsAskLast); i < length; i += TileRows)
                {
                    var row = start + i;
                    AttentionRows.Attend(Math.Min(TileRows, length - i), prefix + i, step: 1, problem.Window, headSize, problem.Scale,
                        problem.Q.From(row, column), keys, headSize, new StridedRows(values, width), problem.O.From(row, column),
                        problem.Lse + (nint)h * problem.Tokens + row, scratch);
                }
            }
        }
    }
}
