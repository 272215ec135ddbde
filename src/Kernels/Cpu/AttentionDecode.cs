namespace TinyDpo.Kernels;

/// <summary>
/// Attention of one query a sequence over a key/value cache, for generation. q, o are [sequences, heads * headSize] with row strides; the
/// caches are [sequences, capacity, kvHeads * headSize], with a stride from key to key and one from sequence to sequence; lengths
/// [sequences] counts the cached keys, the query's own included. A length of 0 gives o = 0.
/// </summary>
internal static unsafe class DecodeAttention
{
    private struct Problem
    {
        public int Heads, KvHeads, HeadSize, MostKeys, Window;
        public Real Scale;
        public int* Lengths;
        public StridedRows Q, K, V, O;
        public nint SequenceK, SequenceV;
    }

    /// <summary>Writes o, to the bit the row of <see cref="SegmentAttention.Forward"/> for the same query, keys and values.</summary>
    /// <exception cref="ArgumentException">heads is no multiple of kvHeads, or a length is negative.</exception>
    public static void Forward(WorkerTeam team, int sequences, int* lengths, int heads, int kvHeads, int headSize, Real scale,
        Real* q, int ldq, Real* k, int ldk, nint sequenceK, Real* v, int ldv, nint sequenceV, Real* o, int ldo, int? window = null)
    {
        SegmentAttention.CheckHeads(heads, kvHeads, headSize);
        var problem = new Problem
        {
            Heads = heads,
            KvHeads = kvHeads,
            HeadSize = headSize,
            Scale = scale,
            Lengths = lengths,
            Q = new StridedRows(q, ldq),
            K = new StridedRows(k, ldk),
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
        var capacity = AttentionScratch.BlockCapacity(problem.MostKeys);
        var transposed = (long)capacity * problem.HeadSize;
        var width = AttentionTile.Padded(problem.HeadSize);
        // Cached values whose rows are whole vectors are read where they lie.
        var packsValues = width != problem.HeadSize;
        var rows = packsValues ? (long)capacity * width : 0;
        var group = problem.Heads / problem.KvHeads;
        var array = AttentionScratch.Rent(transposed + rows + AttentionRows.ScratchLength(group, width));
        fixed (Real* start = array)
        {
            var keys = AttentionScratch.Align(start);
            var packedValues = keys + transposed;
            for (var task = from; task < to; task++)
            {
                int sequence = task / problem.KvHeads, kvHead = task % problem.KvHeads;
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
                AttentionScratch.PackTransposed(keys, 0, problem.K.From(first, sequence * problem.SequenceK + kvColumn), length,
                    problem.HeadSize);
                var values = problem.V.From(first, sequence * problem.SequenceV + kvColumn);
                if (packsValues)
                {
                    AttentionScratch.PackRows(packedValues, width, values, length, problem.HeadSize);
                    values = new StridedRows(packedValues, width);
                }
                // The rows are the group's query heads, which all see the same keys.
                AttentionRows.Attend(group, length - 1, step: 0, problem.Window, problem.HeadSize, problem.Scale,
                    new StridedRows(problem.Q.At(sequence, column), problem.HeadSize), keys, values, o, lse: null,
                    scratch: packedValues + rows);
            }
        }
        AttentionScratch.Return(array);
    }

    /// <summary>The same in plain loops, sums in double.</summary>
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
