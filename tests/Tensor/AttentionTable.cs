using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Tests;

/// <summary>The op table's rows for rotary positions and segment attention.</summary>
internal static class AttentionTable
{
    private static readonly (string Name, Segment[] Segments)[] s_packs =
    [
        ("nothing", []),
        ("one token", [new(0, 0, 0, 1)]),
        ("one segment", [new(0, 0, 0, 9)]),
        ("a prompt with two completions, then a lone segment", [new(0, 0, 0, 4), new(0, 4, 4, 3), new(0, 4, 7, 5), new(0, 0, 12, 2)]),
    ];

    // Segments that end just before, at and after a tile, and a prompt longer than one.
    private static readonly (string Name, Segment[] Segments)[] s_devicePacks =
    [
        ("31, 33 and 64 tokens", [new(0, 0, 0, 31), new(0, 0, 31, 33), new(0, 0, 64, 64)]),
        ("a prompt of 130 with completions of 1, 65 and 70", [new(0, 0, 0, 130), new(0, 130, 130, 1), new(0, 130, 131, 65), new(0, 130, 196, 70)]),
    ];

    public static IEnumerable<OpRow> Rows() =>
        RotaryRows([(0, 1, 2), (1, 1, 2), (4, 3, 6), (5, 2, 24)]).Concat(AttentionRows(s_packs, [new(1, 1, 8), new(4, 2, 5)])).Append(WithItself());

    public static IEnumerable<OpRow> DeviceRows() =>
        RotaryRows([(33, 3, 64)]).Concat(AttentionRows(s_devicePacks, [new(2, 1, 32), new(2, 2, 33), new(1, 1, 128)]));

    private static IEnumerable<OpRow> RotaryRows((int Tokens, int Heads, int HeadSize)[] sizes)
    {
        foreach (var (tokens, heads, headSize) in sizes)
        {
            foreach (var interleaved in new[] { false, true })
            {
                int[] positions = [.. Enumerable.Range(0, tokens).Select(static t => (t * 3) % 7)];
                yield return new OpRow
                {
                    Name = $"rotary {tokens} x {heads} x {headSize}{(interleaved ? ", interleaved" : "")}",
                    Op = nameof(RotaryOp),
                    Inputs = [Shape.Matrix(tokens, heads * headSize)],
                    Terms = 2,
                    Build = (backend, x) => Rotary(x[0], OpTable.Index(backend, positions), new RotaryTable(backend, 8, RopeScaling.Frequencies(headSize, 10000, null), interleaved).Reserve(8)),
                    Reference = x => Rotate(x[0], positions, heads, headSize, interleaved),
                };
            }
        }
    }

    private static IEnumerable<OpRow> AttentionRows((string Name, Segment[] Segments)[] packs, AttentionShape[] shapes)
    {
        foreach (var (name, segments) in packs)
        {
            foreach (var shape in shapes)
            {
                var tokens = segments.Sum(static s => s.Length);
                var (q, kv) = (Shape.Matrix(tokens, shape.QueryWidth), Shape.Matrix(tokens, shape.KeyValueWidth));
                yield return new OpRow
                {
                    Name = $"attention, {name}, {shape.Heads} heads over {shape.KeyValueHeads} of {shape.HeadSize}",
                    Op = nameof(SegmentAttentionOp),
                    Inputs = [q, kv, kv],
                    Low = -2,
                    High = 2,
                    Terms = 64,
                    Build = (_, x) => SegmentAttention(shape, SegmentLayout.Validate(segments, tokens), x[0], x[1], x[2]),
                    Reference = x => Attend(shape, segments, x[0], x[1], x[2]),
                };
            }
        }
    }

    private static OpRow WithItself() => new()
    {
        Name = "attention of one tensor with itself",
        Op = nameof(SegmentAttentionOp),
        Inputs = [Shape.Matrix(5, 8)],
        Low = -2,
        High = 2,
        Terms = 64,
        Build = static (_, x) => SegmentAttention(new AttentionShape(1, 1, 8), SegmentLayout.Validate([new Segment(0, 0, 0, 5)], 5), x[0], x[0], x[0]),
        Reference = static x => Attend(new AttentionShape(1, 1, 8), [new Segment(0, 0, 0, 5)], x[0], x[0], x[0]),
    };

    private static double[] Rotate(double[] x, int[] positions, int heads, int headSize, bool interleaved)
    {
        var y = new double[x.Length];
        for (var t = 0; t < positions.Length; t++)
        {
            for (var h = 0; h < heads; h++)
            {
                for (var i = 0; i < headSize / 2; i++)
                {
                    // The table is rounded to Real before use; the reference starts from the same numbers.
                    var angle = positions[t] * Math.Pow(10000, -2.0 * i / headSize);
                    double cos = (Real)Math.Cos(angle), sin = (Real)Math.Sin(angle);
                    var at = ((t * heads) + h) * headSize;
                    var (a, b) = interleaved ? (at + (2 * i), at + (2 * i) + 1) : (at + i, at + i + (headSize / 2));
                    y[a] = (x[a] * cos) - (x[b] * sin);
                    y[b] = (x[b] * cos) + (x[a] * sin);
                }
            }
        }
        return y;
    }

    private static double[] Attend(AttentionShape shape, Segment[] segments, double[] q, double[] k, double[] v)
    {
        var y = new double[q.Length];
        foreach (var segment in segments)
        {
            for (var i = 0; i < segment.Length; i++)
            {
                int[] keys =
                [
                    .. Enumerable.Range(segment.PrefixStart, segment.PrefixLength),
                    .. Enumerable.Range(segment.Start, i + 1),
                ];
                for (var h = 0; h < shape.Heads; h++)
                {
                    var query = ((segment.Start + i) * shape.QueryWidth) + (h * shape.HeadSize);
                    var kvHead = h / (shape.Heads / shape.KeyValueHeads) * shape.HeadSize;
                    double[] weights =
                    [
                        .. keys.Select(key => Math.Exp(Enumerable.Range(0, shape.HeadSize)
                            .Sum(d => q[query + d] * k[(key * shape.KeyValueWidth) + kvHead + d]) / Math.Sqrt(shape.HeadSize))),
                    ];
                    var total = weights.Sum();
                    for (var d = 0; d < shape.HeadSize; d++)
                    {
                        y[query + d] = keys.Select((key, j) => weights[j] / total * v[(key * shape.KeyValueWidth) + kvHead + d]).Sum();
                    }
                }
            }
        }
        return y;
    }
}
