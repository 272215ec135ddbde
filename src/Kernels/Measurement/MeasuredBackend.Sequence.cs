namespace TinyDpo.Kernels;

public sealed partial class MeasuredBackend
{
    public void Rotary(
        DeviceBuffer x, IndexBuffer positions, DeviceBuffer cosines, DeviceBuffer sines, int tokens, int heads, int headSize, bool interleaved,
        bool inverse, DeviceBuffer y, bool accumulate)
    {
        var n = (double)tokens * heads * headSize;
        using var call = Measure(
            nameof(Rotary), (tokens, heads, headSize), 3 * n, Moved(((1 + Written(accumulate)) * n) + tokens + ((double)tokens * headSize)));
        inner.Rotary(x, positions, cosines, sines, tokens, heads, headSize, interleaved, inverse, y, accumulate);
    }

    public void SegmentAttention(
        AttentionShape shape, SegmentLayout segments, DeviceBuffer q, DeviceBuffer k, DeviceBuffer v, DeviceBuffer output, DeviceBuffer logSumExp)
    {
        var bytes = Moved(segments.Tokens * ((2.0 * shape.QueryWidth) + (2 * shape.KeyValueWidth) + shape.Heads));
        using var call = Measure(nameof(SegmentAttention), (segments.Tokens, shape.Heads, shape.HeadSize), 4.0 * shape.QueryWidth * Visible(shape, segments), bytes);
        inner.SegmentAttention(shape, segments, q, k, v, output, logSumExp);
    }

    public void SegmentAttentionBackward(
        AttentionShape shape, SegmentLayout segments, DeviceBuffer q, DeviceBuffer k, DeviceBuffer v, DeviceBuffer output,
        DeviceBuffer logSumExp, DeviceBuffer dOutput, DeviceBuffer dq, DeviceBuffer dk, DeviceBuffer dv)
    {
        // Of the five products of the backward pass, q k^T is computed again and does not count.
        var bytes = Moved(segments.Tokens * ((4.0 * shape.QueryWidth) + (4 * shape.KeyValueWidth) + shape.Heads));
        using var call = Measure(
            nameof(SegmentAttentionBackward), (segments.Tokens, shape.Heads, shape.HeadSize), 8.0 * shape.QueryWidth * Visible(shape, segments), bytes);
        inner.SegmentAttentionBackward(shape, segments, q, k, v, output, logSumExp, dOutput, dq, dk, dv);
    }

    public void AppendCache(
        DeviceBuffer k, DeviceBuffer v, IndexBuffer lengths, int sequences, int capacity, int width, DeviceBuffer kCache, DeviceBuffer vCache)
    {
        using var call = Measure(nameof(AppendCache), (sequences, width, 0), 0, Moved(4.0 * sequences * width));
        inner.AppendCache(k, v, lengths, sequences, capacity, width, kCache, vCache);
    }

    public void DecodeAttention(
        AttentionShape shape, DeviceBuffer q, DeviceBuffer kCache, DeviceBuffer vCache, IndexBuffer lengths, int sequences, int capacity,
        DeviceBuffer output)
    {
        var known = new int[sequences];
        inner.Download(lengths, known);
        double keys = known.Sum(length => (long)Math.Min(length, shape.Window ?? length));
        using var call = Measure(
            nameof(DecodeAttention), (sequences, shape.Heads, shape.HeadSize), 4 * shape.QueryWidth * keys,
            Moved((2.0 * sequences * shape.QueryWidth) + (2 * keys * shape.KeyValueWidth)));
        inner.DecodeAttention(shape, q, kCache, vCache, lengths, sequences, capacity, output);
    }

    public void LogSoftmaxGather(
        DeviceBuffer logits, IndexBuffer targets, int from, int rows, int vocabulary, DeviceBuffer logProb, DeviceBuffer logSumExp)
    {
        var n = (double)rows * vocabulary;
        using var call = Measure(nameof(LogSoftmaxGather), (rows, vocabulary, 0), 3 * n, Moved(n + (3 * rows)));
        inner.LogSoftmaxGather(logits, targets, from, rows, vocabulary, logProb, logSumExp);
    }

    public void LogSoftmaxGatherBackward(
        DeviceBuffer logits, IndexBuffer targets, int from, int rows, int vocabulary, DeviceBuffer logSumExp, DeviceBuffer dLogProb)
    {
        var n = (double)rows * vocabulary;
        using var call = Measure(nameof(LogSoftmaxGatherBackward), (rows, vocabulary, 0), 3 * n, Moved((2 * n) + (3 * rows)));
        inner.LogSoftmaxGatherBackward(logits, targets, from, rows, vocabulary, logSumExp, dLogProb);
    }

    public void RowKl(DeviceBuffer p, DeviceBuffer q, int rows, int vocabulary, DeviceBuffer kl, int to)
    {
        var n = (double)rows * vocabulary;
        using var call = Measure(nameof(RowKl), (rows, vocabulary, 0), 9 * n, Moved((2 * n) + rows));
        inner.RowKl(p, q, rows, vocabulary, kl, to);
    }

    public void Sample(
        DeviceBuffer logits, int rows, int vocabulary, SamplingOptions options, ulong seed, IndexBuffer sequence, IndexBuffer position,
        IndexBuffer token)
    {
        var n = (double)rows * vocabulary;
        using var call = Measure(nameof(Sample), (rows, vocabulary, 0), 3 * n, Moved(n + (3 * rows)));
        inner.Sample(logits, rows, vocabulary, options, seed, sequence, position, token);
    }

    private static double Visible(AttentionShape shape, SegmentLayout layout)
    {
        double pairs = 0;
        foreach (var segment in layout.Segments)
        {
            pairs += shape.VisibleKeys(segment.PrefixLength + segment.FirstAsking(layout.RootsAskLast), segment.PrefixLength + segment.Length);
        }
        return pairs;
    }
}
