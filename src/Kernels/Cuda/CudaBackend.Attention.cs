namespace TinyDpo.Kernels;

public sealed unsafe partial class CudaBackend
{
    private const int LargestHead = 256;
    private const int DecodeRows = 8;

    private TilesOnDevice? _queryTiles;
    private TilesOnDevice? _keyTiles;

    /// <summary>Work lists of a layout, for as long as their buffer lives: the layers of a step, forward and backward, share one upload.</summary>
    private sealed record TilesOnDevice(SegmentLayout Layout, int Rows, IndexBuffer Fields, int Count, long Seen);

    public void Rotary(
        DeviceBuffer x, IndexBuffer positions, DeviceBuffer cosines, DeviceBuffer sines, int tokens, int heads, int headSize, bool interleaved,
        bool inverse, DeviceBuffer y, bool accumulate)
    {
        const int threads = 256;
        var n = (long)tokens * heads * headSize;
        var half = headSize / 2;
        RequireLength(x, n);
        RequireLength(y, n);
        if (tokens == 0 || half == 0)
        {
            return;
        }
        RequireIndices(positions, 0, tokens, Math.Min(cosines.Length, sines.Length) / half);
        var pairs = headSize % 8 == 0 && Aligned(x, y, cosines, sines) ? interleaved ? 2 : 4 : 1;
        var turned = (long)tokens * heads * half * 2;
        var angles = _observer is null ? (long)tokens * half : NamedRows.Packs(HostValues(positions).AsSpan(0, tokens), half / pairs, tokens) * pairs;
        Launch(
            "rotary", Grid.Of((((long)tokens * (half / pairs)) + threads - 1) / threads, threads), In(x, n, turned), In(positions, tokens),
            In(cosines, cosines.Length, angles), In(sines, sines.Length, angles), tokens, heads, headSize, interleaved, inverse,
            KernelArgument.Pointer(
                y.Address, n * sizeof(float), accumulate ? Access.ReadWrite : Access.Write, accumulate ? turned * sizeof(float) : 0,
                turned * sizeof(float)),
            accumulate);
    }

    public void SegmentAttention(
        AttentionShape shape, SegmentLayout segments, DeviceBuffer q, DeviceBuffer k, DeviceBuffer v, DeviceBuffer output, DeviceBuffer logSumExp)
    {
        var padded = RequireHeads(shape, segments.LongestSequence);
        shape.RequireLengths(segments.Tokens, q, k, v, output);
        var (tokens, heads) = (segments.Tokens, shape.Heads);
        RequireLength(logSumExp, (long)tokens * heads);
        if (tokens == 0)
        {
            return;
        }
        var (n, kvN) = ((long)tokens * shape.QueryWidth, (long)tokens * shape.KeyValueWidth);
        var tiles = QueryTiles(segments);
        var seen = tiles.Seen * shape.QueryWidth;
        Launch(
            $"segment_attention_{padded}", Grid.Of((long)tiles.Count * heads, padded == 256 ? 256 : 128), In(tiles.Fields, tiles.Fields.Length),
            tokens, heads, shape.KeyValueHeads, shape.HeadSize, shape.Scale, In(q, n), In(k, kvN, seen), In(v, kvN, seen), Out(output, n),
            Out(logSumExp, (long)tokens * heads));
    }

    public void SegmentAttentionBackward(
        AttentionShape shape, SegmentLayout segments, DeviceBuffer q, DeviceBuffer k, DeviceBuffer v, DeviceBuffer output,
        DeviceBuffer logSumExp, DeviceBuffer dOutput, DeviceBuffer dq, DeviceBuffer dk, DeviceBuffer dv)
    {
        var padded = RequireHeads(shape, segments.LongestSequence);
        shape.RequireLengths(segments.Tokens, q, k, v, output);
        shape.RequireLengths(segments.Tokens, dq, dk, dv, dOutput);
        var (tokens, heads, kvHeads, size, scale) = (segments.Tokens, shape.Heads, shape.KeyValueHeads, shape.HeadSize, shape.Scale);
        RequireLength(logSumExp, (long)tokens * heads);
        if (tokens == 0)
        {
            return;
        }
        var (n, kvN, rows) = ((long)tokens * shape.QueryWidth, (long)tokens * shape.KeyValueWidth, checked(tokens * heads));
        using var delta = Temporary(rows);

        var queries = QueryTiles(segments);
        var keysSeen = queries.Seen * shape.QueryWidth;
        Launch(
            $"segment_attention_dq_{padded}", Grid.Of((long)queries.Count * heads, padded switch { 256 => 512, 128 => 256, _ => 128 }),
            In(queries.Fields, queries.Fields.Length), tokens, heads, kvHeads, size, scale, In(q, n), In(k, kvN, keysSeen), In(v, kvN, keysSeen),
            In(output, n), In(logSumExp, rows), In(dOutput, n), Out(dq, n), Out(delta.Buffer, rows));

        var keys = KeyTiles(segments, padded == 256 ? 32 : 64);
        var queriesSeen = keys.Seen * shape.QueryWidth;
        var rowsSeen = keys.Seen * heads;
        Launch(
            $"segment_attention_dkdv_{padded}", Grid.Of((long)keys.Count * kvHeads, padded >= 128 ? 256 : 128),
            In(keys.Fields, keys.Fields.Length), tokens, heads, kvHeads, size, scale, In(q, n, queriesSeen), In(k, kvN), In(v, kvN),
            In(logSumExp, rows, rowsSeen), In(delta.Buffer, rows, rowsSeen), In(dOutput, n, queriesSeen), Out(dk, kvN), Out(dv, kvN));
    }

    public void AppendCache(
        DeviceBuffer k, DeviceBuffer v, IndexBuffer lengths, int sequences, int capacity, int width, DeviceBuffer kCache, DeviceBuffer vCache)
    {
        const int threads = 256;
        var (n, cache) = ((long)sequences * width, (long)sequences * capacity * width);
        RequireLength(k, n);
        RequireLength(v, n);
        RequireLength(kCache, cache);
        RequireLength(vCache, cache);
        RequireLength(lengths, sequences);
        IndexBuffer.RequireCacheLengths(HostValues(lengths).AsSpan(0, sequences), capacity);
        if (n == 0)
        {
            return;
        }
        var parts = width % 4 == 0 && Aligned(k, v, kCache, vCache) ? n / 4 : n;
        Launch(
            "append_cache", Grid.Of((parts + threads - 1) / threads, threads), In(k, n), In(v, n), In(lengths, sequences), sequences, capacity,
            width, Out(kCache, cache, n), Out(vCache, cache, n));
    }

    public void DecodeAttention(
        AttentionShape shape, DeviceBuffer q, DeviceBuffer kCache, DeviceBuffer vCache, IndexBuffer lengths, int sequences, int capacity,
        DeviceBuffer output)
    {
        const int threads = 32;
        var padded = RequireHeads(shape, capacity);
        var (n, cache) = ((long)sequences * shape.QueryWidth, (long)sequences * capacity * shape.KeyValueWidth);
        RequireLength(q, n);
        RequireLength(output, n);
        RequireLength(kCache, cache);
        RequireLength(vCache, cache);
        RequireLength(lengths, sequences);
        long seen = 0;
        foreach (var length in HostValues(lengths).AsSpan(0, sequences))
        {
            ArgumentOutOfRangeException.ThrowIfNegative(length, nameof(lengths));
            ArgumentOutOfRangeException.ThrowIfGreaterThan(length, capacity, nameof(lengths));
            seen += (long)length * shape.KeyValueWidth;
        }
        if (sequences == 0)
        {
            return;
        }
        var parts = ((shape.Heads / shape.KeyValueHeads) + DecodeRows - 1) / DecodeRows;
        Launch(
            $"decode_attention_{padded}", Grid.Of((long)sequences * shape.KeyValueHeads * parts, threads), In(lengths, sequences), capacity,
            shape.Heads, shape.KeyValueHeads, shape.HeadSize, shape.Scale, In(q, n), In(kCache, cache, seen), In(vCache, cache, seen), Out(output, n));
    }

    private TilesOnDevice QueryTiles(SegmentLayout layout)
    {
        if (_queryTiles is null || _queryTiles.Layout.Segments != layout.Segments || _queryTiles.Fields.Returned)
        {
            var (fields, seen) = AttentionTiles.Queries(layout);
            _queryTiles = new TilesOnDevice(
                layout, AttentionTiles.QueryRows, UploadTiles(fields), fields.Length / AttentionTiles.QueryFields, seen);
        }
        return _queryTiles;
    }

    private TilesOnDevice KeyTiles(SegmentLayout layout, int rows)
    {
        if (_keyTiles is null || _keyTiles.Layout.Segments != layout.Segments || _keyTiles.Rows != rows || _keyTiles.Fields.Returned)
        {
            var (fields, seen) = AttentionTiles.Keys(layout, rows);
            _keyTiles = new TilesOnDevice(layout, rows, UploadTiles(fields), fields.Length / AttentionTiles.KeyFields, seen);
        }
        return _keyTiles;
    }

    private IndexBuffer UploadTiles(int[] fields)
    {
        var buffer = Memory.RentIndex(fields.Length);
        Upload(fields, buffer);
        return buffer;
    }

    /// <summary>The head size that the kernels pad to.</summary>
    /// <exception cref="ArgumentException">The heads do not share evenly, or are larger than a kernel holds in registers.</exception>
    /// <exception cref="NotSupportedException">A window hides something from a sequence of so many tokens.</exception>
    private static int RequireHeads(AttentionShape shape, int longest)
    {
        if (shape.Hides(longest))
        {
            throw new NotSupportedException($"a sequence of {longest} tokens with a window of {shape.Window}: no CUDA kernel takes a window");
        }
        if (shape.Heads < 1 || shape.KeyValueHeads < 1 || shape.HeadSize < 1 || shape.Heads % shape.KeyValueHeads != 0)
        {
            throw new ArgumentException(
                $"{shape.Heads} heads of size {shape.HeadSize} cannot share {shape.KeyValueHeads} key/value heads evenly.");
        }
        return shape.HeadSize switch
        {
            <= 32 => 32,
            <= 64 => 64,
            <= 128 => 128,
            <= LargestHead => 256,
            _ => throw new ArgumentException($"heads of size {shape.HeadSize}: the CUDA kernels take at most {LargestHead}"),
        };
    }

    private static bool Aligned(params ReadOnlySpan<DeviceBuffer> buffers)
    {
        foreach (var buffer in buffers)
        {
            if (buffer.Address % 16 != 0)
            {
                return false;
            }
        }
        return true;
    }
}
