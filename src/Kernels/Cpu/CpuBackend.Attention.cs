using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

public sealed unsafe partial class CpuBackend
{
    public void Rotary(
        DeviceBuffer x, IndexBuffer positions, DeviceBuffer cosines, DeviceBuffer sines, int tokens, int heads, int headSize, bool interleaved,
        bool inverse, DeviceBuffer y, bool accumulate)
    {
        var width = heads * headSize;
        RequireLength(x, (long)tokens * width);
        RequireLength(y, (long)tokens * width);
        RequireIndices(positions, 0, tokens, cosines.Length / (headSize / 2));
        var state = (
            x: (Ptr)Data(x), positions: (nint)Data(positions), cos: (Ptr)Data(cosines), sin: (Ptr)Data(sines), y: (Ptr)Data(y), heads, headSize);
        _team.For(tokens, RowGrain(width), (state, interleaved, inverse, accumulate), static (s, from, to) =>
        {
            var ((px, positions, pCos, pSin, py, heads, headSize), interleaved, inverse, accumulate) = s;
            var half = headSize / 2;
            for (var t = from; t < to; t++)
            {
                var angle = ((int*)positions)[t] * half;
                for (var h = 0; h < heads; h++)
                {
                    var at = ((long)t * heads + h) * headSize;
                    if (interleaved)
                    {
                        RotateInterleaved(px + at, pCos + angle, pSin + angle, half, inverse, py + at, accumulate);
                    }
                    else
                    {
                        RotateHalves(px + at, pCos + angle, pSin + angle, half, inverse, py + at, accumulate);
                    }
                }
            }
        });
    }

    public void SegmentAttention(
        AttentionShape shape, SegmentLayout segments, DeviceBuffer q, DeviceBuffer k, DeviceBuffer v, DeviceBuffer output, DeviceBuffer logSumExp)
    {
        shape.RequireLengths(segments.Tokens, q, k, v, output);
        RequireLength(logSumExp, (long)segments.Tokens * shape.Heads);
        Kernels.SegmentAttention.Forward(
            _team, segments, shape.Heads, shape.KeyValueHeads, shape.HeadSize, shape.Scale, Data(q), shape.QueryWidth,
            Data(k), shape.KeyValueWidth, Data(v), shape.KeyValueWidth, Data(output), shape.QueryWidth, Data(logSumExp), shape.Window);
    }

    public void SegmentAttentionBackward(
        AttentionShape shape, SegmentLayout segments, DeviceBuffer q, DeviceBuffer k, DeviceBuffer v, DeviceBuffer output,
        DeviceBuffer logSumExp, DeviceBuffer dOutput, DeviceBuffer dq, DeviceBuffer dk, DeviceBuffer dv)
    {
        shape.RequireLengths(segments.Tokens, q, k, v, output);
        shape.RequireLengths(segments.Tokens, dq, dk, dv, dOutput);
        Kernels.SegmentAttention.Backward(
            _team, segments, shape.Heads, shape.KeyValueHeads, shape.HeadSize, shape.Scale, Data(q), shape.QueryWidth,
            Data(k), shape.KeyValueWidth, Data(v), shape.KeyValueWidth, Data(output), shape.QueryWidth, Data(logSumExp), Data(dOutput), Data(dq),
            Data(dk), Data(dv), accumulate: false, shape.Window);
    }

    public void AppendCache(
        DeviceBuffer k, DeviceBuffer v, IndexBuffer lengths, int sequences, int capacity, int width, DeviceBuffer kCache, DeviceBuffer vCache)
    {
        RequireLength(k, (long)sequences * width);
        RequireLength(v, (long)sequences * width);
        RequireLength(kCache, (long)sequences * capacity * width);
        RequireLength(vCache, (long)sequences * capacity * width);
        RequireLength(lengths, sequences);
        RequireWholeBlocks(capacity);
        IndexBuffer.RequireCacheLengths(new ReadOnlySpan<int>(Data(lengths), sequences), capacity);
        // Each number of a key goes to a line of its own, which costs more than to read it.
        var state = (
            k: (Ptr)Data(k), v: (Ptr)Data(v), lengths: (nint)Data(lengths), kCache: (Ptr)Data(kCache), vCache: (Ptr)Data(vCache), capacity, width);
        _team.For(sequences, RowGrain(Prefetch.Line * width), state, static (s, from, to) =>
        {
            for (nint i = from; i < to; i++)
            {
                var (sequence, place) = (i * s.capacity * s.width, ((int*)s.lengths)[i] - 1);
                Kernels.DecodeAttention.Append(s.kCache + sequence, place, s.k + (i * s.width), s.width);
                new ReadOnlySpan<Real>(s.v + (i * s.width), s.width).CopyTo(new Span<Real>(s.vCache + sequence + ((nint)place * s.width), s.width));
            }
        });
    }

    public void DecodeAttention(
        AttentionShape shape, DeviceBuffer q, DeviceBuffer kCache, DeviceBuffer vCache, IndexBuffer lengths, int sequences, int capacity,
        DeviceBuffer output)
    {
        RequireLength(q, (long)sequences * shape.QueryWidth);
        RequireLength(output, (long)sequences * shape.QueryWidth);
        RequireLength(kCache, (long)sequences * capacity * shape.KeyValueWidth);
        RequireLength(vCache, (long)sequences * capacity * shape.KeyValueWidth);
        RequireLength(lengths, sequences);
        RequireWholeBlocks(capacity);
        Kernels.DecodeAttention.Forward(
            _team, sequences, Data(lengths), shape.Heads, shape.KeyValueHeads, shape.HeadSize, shape.Scale, Data(q), shape.QueryWidth,
            Data(kCache), shape.KeyValueWidth, (nint)capacity * shape.KeyValueWidth, Data(vCache), shape.KeyValueWidth,
            (nint)capacity * shape.KeyValueWidth, Data(output), shape.QueryWidth, shape.Window);
    }

    private static void RequireWholeBlocks(int capacity)
    {
        if (capacity % AttentionTile.Keys != 0)
        {
            throw new ArgumentException($"a cache of capacity {capacity}, no multiple of {AttentionTile.Keys}");
        }
    }

    private static void RotateHalves(Real* x, Real* cos, Real* sin, int half, bool inverse, Real* y, bool accumulate)
    {
        for (var i = 0; i < half; i += Lanes)
        {
            var count = half - i;
            Prefetch.Stream(x + i);
            Prefetch.Stream(x + half + i);
            Prefetch.Stream(y + i);
            Prefetch.Stream(y + half + i);
            var c = VectorRow.Load(cos + i, count);
            var s = VectorRow.Load(sin + i, count);
            s = inverse ? -s : s;
            var a = VectorRow.Load(x + i, count);
            var b = VectorRow.Load(x + half + i, count);
            var first = (a * c) - (b * s);
            var second = (b * c) + (a * s);
            VectorRow.Store(accumulate ? VectorRow.Load(y + i, count) + first : first, y + i, count);
            VectorRow.Store(accumulate ? VectorRow.Load(y + half + i, count) + second : second, y + half + i, count);
        }
    }

    private static void RotateInterleaved(Real* x, Real* cos, Real* sin, int half, bool inverse, Real* y, bool accumulate)
    {
        for (var i = 0; i < half; i++)
        {
            var s = inverse ? -sin[i] : sin[i];
            var first = (x[2 * i] * cos[i]) - (x[(2 * i) + 1] * s);
            var second = (x[(2 * i) + 1] * cos[i]) + (x[2 * i] * s);
            y[2 * i] = accumulate ? y[2 * i] + first : first;
            y[(2 * i) + 1] = accumulate ? y[(2 * i) + 1] + second : second;
        }
    }
}
