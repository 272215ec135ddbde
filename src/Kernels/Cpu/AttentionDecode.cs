namespace TinyDpo.Kernels;

/// <summary>
/// Attention of one query a sequence over a key/value cache, for generation. q, o are [sequences, heads * headSize] with row strides; the
/// values' cache is [sequences, capacity, kvHeads * headSize], with a stride from value to value and one from sequence to sequence; the keys' has
/// for each sequence the blocks that <see cref="Append"/> fills; lengths [sequences] counts the cached keys, the query's own included. A length of
/// 0 gives o = 0.
/// </summary>
internal static unsafe class DecodeAttention
{
    private struct Problem
    {
        public int Sequences, Heads, KvHeads, HeadSize, KeyWidth, MostKeys, Window;
        public Real Scale;
        public int* Lengths;
        public Real* K;
        public StridedRows Q, V, O;
        public nint SequenceK, SequenceV;

        /// <summary>
        /// A head's keys from number first on, which begins a block. A block has a row of keys for each number of a key: the head's rows of each.
        /// </summary>
        public readonly Real* Keys(int sequence, int first, int kvHead) =>
            K + sequence * SequenceK + first * (nint)KeyWidth + (nint)kvHead * HeadSize * AttentionTile.Keys;
    }

    /// <summary>
    /// The most numbers of a sequence's cache that are asked for while the one before is attended to: 512 KiB of float, well within a level 2
    /// cache.
    /// </summary>
    private const int MostPrefetched = 128 * 1024;

    /// <summary>Puts a key [width] at its place in a sequence's cache: transposed, as every query to come reads it.</summary>
    public static void Append(Real* keys, int place, Real* key, int width) =>
        AttentionScratch.PackTransposed(keys, place, new StridedRows(key, width), 1, width);

    /// <summary>Writes o, to the bit the row of <see cref="SegmentAttention.Forward"/> for the same query, keys and values.</summary>
    /// <exception cref="ArgumentException">heads is no multiple of kvHeads, or a length is negative.</exception>
    public static void Forward(WorkerTeam team, int sequences, int* lengths, int heads, int kvHeads, int headSize, Real scale,
        Real* q, int ldq, Real* k, int keyWidth, nint sequenceK, Real* v, int ldv, nint sequenceV, Real* o, int ldo, int? window = null)
    {
        SegmentAttention.CheckHeads(heads, kvHeads, headSize);
        var problem = new Problem
        {
            Sequences = sequences,
            Heads = heads,
            KvHeads = kvHeads,
            HeadSize = headSize,
            Scale = scale,
            Lengths = lengths,
            Q = new StridedRows(q, ldq),
            K = k,
            KeyWidth = keyWidth,
            V = new StridedRows(v, ldv),
            O = new StridedRows(o, ldo),
            SequenceK = sequenceK,
            SequenceV = sequenceV,
        };
        for (var s = 0; s < sequences; s++)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(lengths[s]);
            problem.MostKeys = Math.Max(problem.MostKeys, lengths[s]);
        }
        problem.Window = SegmentAttention.EffectiveWindow(window, problem.MostKeys);
        team.For(sequences * kvHeads, 1, problem, static (problem, from, to) => ForwardRange(problem, from, to));
    }

    private static void ForwardRange(in Problem problem, int from, int to)
    {
        var width = AttentionTile.Padded(problem.HeadSize);
        // Cached values whose rows are whole vectors are read where they lie.
        var packsValues = width != problem.HeadSize;
        var rows = packsValues ? (long)AttentionScratch.BlockCapacity(problem.MostKeys) * width : 0;
        var group = problem.Heads / problem.KvHeads;
        var array = AttentionScratch.Rent(rows + AttentionRows.ScratchLength(group, width));
        fixed (Real* start = array)
        {
            var packedValues = AttentionScratch.Align(start);
            for (var task = from; task < to; task++)
            {
                int sequence = task / problem.KvHeads, kvHead = task % problem.KvHeads;
                if (sequence + 1 < problem.Sequences)
                {
                    PrefetchCaches(problem, sequence + 1, kvHead);
                }
                var length = problem.Lengths[sequence];
                nint kvColumn = kvHead * problem.HeadSize, column = kvColumn * group;
                var o = new StridedRows(problem.O.At(sequence, column), problem.HeadSize);
                if (length == 0)
                {
                    AttentionScratch.Clear(o.Start, group * problem.HeadSize);
                    continue;
                }
                // Whole blocks before the window are left out: the others stand where they stood, at multiples of a block.
                var first = AttentionRows.FirstBlock(length - 1, problem.Window);
                length -= first;
                var values = problem.V.From(first, sequence * problem.SequenceV + kvColumn);
                if (packsValues)
                {
                    AttentionScratch.PackRows(packedValues, width, values, length, problem.HeadSize);
                    values = new StridedRows(packedValues, width);
                }
                // The rows are the group's query heads, which all see the same keys.
                AttentionRows.Attend(group, length - 1, step: 0, problem.Window, problem.HeadSize, problem.Scale,
                    new StridedRows(problem.Q.At(sequence, column), problem.HeadSize), problem.Keys(sequence, first, kvHead),
                    problem.KeyWidth, values, o, lse: null, scratch: packedValues + rows);
            }
        }
        AttentionScratch.Return(array);
    }

    /// <summary>Asks for the keys of a head, and for the head's share of the values of all, which lie next to each other.</summary>
    private static void PrefetchCaches(in Problem problem, int sequence, int kvHead)
    {
        var length = problem.Lengths[sequence];
        var first = AttentionRows.FirstBlock(Math.Max(0, length - 1), problem.Window);
        var width = problem.KvHeads * problem.HeadSize;
        if (2L * (length - first) * width > MostPrefetched)
        {
            return;
        }
        for (var block = first; block < length; block += AttentionTile.Keys)
        {
            var keys = new StridedRows(problem.Keys(sequence, block, kvHead), AttentionTile.Keys);
            AttentionScratch.Prefetch(keys, problem.HeadSize, Math.Min(AttentionTile.Keys, length - block));
        }
        var share = (length - first + problem.KvHeads - 1) / problem.KvHeads;
        var row = first + kvHead * share;
        AttentionScratch.Prefetch(problem.V.From(row, sequence * problem.SequenceV), Math.Min(share, length - row), width);
    }

    /// <summary>The same in plain loops, sums in double, with keys in a cache like the values'.</summary>
    public static void ForwardReference(int sequences, int* lengths, int heads, int kvHeads, int headSize, Real scale, Real* q, int ldq,
        Real* k, int ldk, nint sequenceK, Real* v, int ldv, nint sequenceV, Real* o, int ldo, int? window = null)
    {
        for (var s = 0; s < sequences; s++)
        {
            for (var h = 0; h < heads; h++)
            {
                nint column = h * headSize, kvColumn = h / (heads / kvHeads) * headSize;
                Real* keys = k + s * sequenceK + kvColumn, values = v + s * sequenceV + kvColumn;
                var weights = SegmentAttention.WeightsReference(q + s * (nint)ldq + column, headSize, scale, lengths[s], window,
                    j => (nint)(keys + j * (nint)ldk), out var firstKey, out _);
                for (var d = 0; d < headSize; d++)
                {
                    var sum = 0.0;
                    for (var j = firstKey; j < lengths[s]; j++)
                    {
                        sum += weights[j] * values[j * (nint)ldv + d];
                    }
                    o[s * (nint)ldo + column + d] = (Real)sum;
                }
            }
        }
    }
}
