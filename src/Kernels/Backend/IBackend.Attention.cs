namespace TinyDpo.Kernels;

/// <summary>The shape of an attention layer. Query head h reads key/value head h / (Heads / KeyValueHeads).</summary>
/// <param name="Heads">Query heads.</param>
/// <param name="KeyValueHeads">Key and value heads.</param>
/// <param name="HeadSize">Width of one head.</param>
/// <param name="Window">
/// The keys that a query sees at most, its own the last of them (Mistral's sliding window: query i sees the keys j with i - Window &lt; j
/// &lt;= i, counted in the sequence); null for all before it.
/// </param>
public readonly record struct AttentionShape(int Heads, int KeyValueHeads, int HeadSize, int? Window = null)
{
    public int QueryWidth => Heads * HeadSize;

    public int KeyValueWidth => KeyValueHeads * HeadSize;

    /// <summary>Scores are q . k times this.</summary>
    public Real Scale => 1 / Real.Sqrt(HeadSize);

    /// <summary>Whether the window hides something from a query of a sequence of so many tokens.</summary>
    public bool Hides(int tokens) => Window < tokens;

    /// <summary>The keys that the queries at the positions [from, to) of a sequence see, added up.</summary>
    public long VisibleKeys(long from, long to)
    {
        // Up to the window each sees one more than the one before it.
        var (start, end) = (Math.Min(from, Window ?? from), Math.Min(to, Window ?? to));
        return (end * (end + 1) / 2) - (start * (start + 1) / 2) + ((to - end - (from - start)) * (Window ?? 0));
    }

    /// <exception cref="ArgumentException">A buffer is shorter than so many tokens need.</exception>
    internal void RequireLengths(int tokens, DeviceBuffer q, DeviceBuffer k, DeviceBuffer v, DeviceBuffer output)
    {
        DeviceMemory.RequireLength(q, (long)tokens * QueryWidth);
        DeviceMemory.RequireLength(k, (long)tokens * KeyValueWidth);
        DeviceMemory.RequireLength(v, (long)tokens * KeyValueWidth);
        DeviceMemory.RequireLength(output, (long)tokens * QueryWidth);
    }
}

public partial interface IBackend
{
    /// <summary>
    /// Rotary positions (Su et al. 2021) on x [tokens, heads * headSize]: each pair of a head turns by the angle of its token's position.
    /// cosines and sines are [positions, headSize / 2]. A pair is (i, i + headSize / 2), as in Hugging Face, or (2i, 2i + 1) when
    /// <paramref name="interleaved"/>, as in llama2.c. <paramref name="inverse"/> turns back, which is the gradient.
    /// </summary>
    void Rotary(
        DeviceBuffer x, IndexBuffer positions, DeviceBuffer cosines, DeviceBuffer sines, int tokens, int heads, int headSize, bool interleaved,
        bool inverse, DeviceBuffer y, bool accumulate);

    /// <summary>
    /// Causal attention over packed segments, within the shape's window: see <see cref="Segment"/>. q, output [tokens, heads * headSize]; k, v [tokens, kvHeads *
    /// headSize]; logSumExp [heads, tokens] is kept for the backward pass, which computes the probabilities again instead of storing them.
    /// Where <see cref="SegmentLayout.RootsAskLast"/>, a root's rows of output and logSumExp but the last may hold anything.
    /// </summary>
    void SegmentAttention(
        AttentionShape shape, SegmentLayout segments, DeviceBuffer q, DeviceBuffer k, DeviceBuffer v, DeviceBuffer output, DeviceBuffer logSumExp);

    /// <summary>
    /// Writes dq, dk and dv, the gradients of <see cref="SegmentAttention"/>, each of the shape of its input. Where <see
    /// cref="SegmentLayout.RootsAskLast"/>, dOutput must be 0 in the rows that do not ask, and dq is.
    /// </summary>
    void SegmentAttentionBackward(
        AttentionShape shape, SegmentLayout segments, DeviceBuffer q, DeviceBuffer k, DeviceBuffer v, DeviceBuffer output,
        DeviceBuffer logSumExp, DeviceBuffer dOutput, DeviceBuffer dq, DeviceBuffer dk, DeviceBuffer dv);

    /// <summary>
    /// Puts row s of k and v [sequences, kvWidth] at place lengths[s] - 1 of sequence s in the caches [sequences, capacity, kvWidth]; but what lies
    /// where within a block of <see cref="CacheBlock"/> keys or values is the backend's own affair. capacity is a whole number of blocks.
    /// </summary>
    void AppendCache(
        DeviceBuffer k, DeviceBuffer v, IndexBuffer lengths, int sequences, int capacity, int width, DeviceBuffer kCache, DeviceBuffer vCache);

    /// <summary>
    /// One query a sequence, q [sequences, heads * headSize], against the first lengths[s] keys of its cache, or those of them that are within
    /// the shape's window.
    /// </summary>
    void DecodeAttention(
        AttentionShape shape, DeviceBuffer q, DeviceBuffer kCache, DeviceBuffer vCache, IndexBuffer lengths, int sequences, int capacity,
        DeviceBuffer output);
}
