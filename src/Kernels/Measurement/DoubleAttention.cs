namespace TinyDpo.Kernels;

/// <summary>Causal attention over segments in double precision, the first sequence of the first group and the last one alone.</summary>
internal static class DoubleAttention
{
    /// <summary>The output's elements for the tokens of those sequences' own segments.</summary>
    public static IEnumerable<(int Index, double Value)> Output(SegmentLayout layout, AttentionShape shape, double[] q, double[] k, double[] v) =>
        Rows(layout, shape, q, k).SelectMany(row => Enumerable.Range(0, shape.HeadSize).Select(
            d => (row.At + d, row.Weights.Select((w, j) => w * v[row.Keys[j] + d]).Sum())));

    /// <summary>The gradient by q, where <paramref name="dOutput"/> is that by the output.</summary>
    public static IEnumerable<(int Index, double Value)> QueryGradient(
        SegmentLayout layout, AttentionShape shape, double[] q, double[] k, double[] v, double[] dOutput)
    {
        foreach (var (at, keys, weights) in Rows(layout, shape, q, k))
        {
            double[] slopes = [.. keys.Select(key => Enumerable.Range(0, shape.HeadSize).Sum(d => dOutput[at + d] * v[key + d]))];
            var mean = weights.Zip(slopes, static (w, s) => w * s).Sum();
            for (var d = 0; d < shape.HeadSize; d++)
            {
                yield return (at + d, keys.Select((key, j) => weights[j] * (slopes[j] - mean) * k[key + d]).Sum() / Math.Sqrt(shape.HeadSize));
            }
        }
    }

    /// <summary>Each query row: where its head begins, where the heads of the keys that it sees begin, and their weights.</summary>
    private static IEnumerable<(int At, int[] Keys, double[] Weights)> Rows(SegmentLayout layout, AttentionShape shape, double[] q, double[] k)
    {
        Segment[] some = [layout.Segments[0], layout.Segments[^1]];
        foreach (var segment in some)
        {
            for (var i = 0; i < segment.Length; i++)
            {
                for (var h = 0; h < shape.Heads; h++)
                {
                    var column = h * shape.HeadSize;
                    var at = ((segment.Start + i) * shape.QueryWidth) + column;
                    int[] keys =
                    [
                        .. Enumerable.Range(segment.PrefixStart, segment.PrefixLength).Concat(Enumerable.Range(segment.Start, i + 1))
                            .Select(token => (token * shape.QueryWidth) + column),
                    ];
                    double[] scores =
                        [.. keys.Select(key => Enumerable.Range(0, shape.HeadSize).Sum(d => q[at + d] * k[key + d]) / Math.Sqrt(shape.HeadSize))];
                    var top = scores.Max();
                    double[] powers = [.. scores.Select(s => Math.Exp(s - top))];
                    var total = powers.Sum();
                    yield return (at, keys, [.. powers.Select(p => p / total)]);
                }
            }
        }
    }
}
