namespace TinyDpo.Kernels;

/// <summary>A kernel and a shape, from which a <see cref="KernelCase"/> is made.</summary>
public record KernelSpec(string Kernel, string Shape, Func<CpuBackend, KernelCase> Create)
{
    public sealed override string ToString() => $"{Kernel} {Shape}";
}

/// <summary>A product of op(A) [M, K] and op(B) [K, N]; the case's buffers are A, B and C.</summary>
public sealed record ProductSpec(bool TransA, bool TransB, int M, int N, int K)
    : KernelSpec(MeasuredBackend.GemmName(TransA, TransB), $"{M} x {N} x {K}", backend => new KernelCase(
        backend, streams: false, [M * K, K * N, M * N], result: 2,
        (b, x) => b.Gemm(TransA, TransB, M, N, K, 1, x[0], x[1], false, x[2]),
        // The first and the last row: all rows would take longer than the timing.
        x => new[] { 0, M - 1 }.SelectMany(i => Enumerable.Range(0, N).Select(j => ((i * N) + j, Enumerable.Range(0, K).Sum(
            p => x[0][TransA ? (p * M) + i : (i * K) + p] * x[1][TransB ? (j * K) + p : (p * N) + j]))))));

/// <summary>The kernels that training time goes to, at the shapes that they have in the workloads of the benchmarks.</summary>
public static class KernelCases
{
    /// <summary>
    /// Layers of the three workloads: rows (tokens, or predicting tokens for the head), outputs, inputs. In the order of toy, small, long:
    /// query projection, gate, down, head.
    /// </summary>
    private static readonly (int Rows, int Outputs, int Inputs)[] Layers =
    [
        (1130, 128, 128), (1130, 344, 128), (1130, 128, 344), (779, 512, 128),
        (1853, 256, 256), (1853, 688, 256), (1853, 256, 688), (798, 4096, 256),
        (1886, 256, 256), (1886, 688, 256), (1886, 256, 688), (747, 8192, 256),
    ];

    /// <summary>Each layer's forward product and the two of its backward, then large squares.</summary>
    public static IEnumerable<ProductSpec> Gemms() =>
    [
        .. Layers.SelectMany(static l => new ProductSpec[]
        {
            new(false, true, l.Rows, l.Outputs, l.Inputs), new(false, false, l.Rows, l.Inputs, l.Outputs), new(true, false, l.Outputs, l.Inputs, l.Rows),
        }),
        new(false, false, 512, 512, 512), new(false, false, 1024, 1024, 1024),
    ];

    public static IEnumerable<KernelSpec> Attention() =>
    [
        AttentionForward(heads: 4, headSize: 32, prompt: 46, completion: 49, pairs: 8), AttentionBothPasses(4, 32, 46, 49, 8),
        AttentionForward(8, 32, 286, 93, 4), AttentionBothPasses(8, 32, 286, 93, 4),
    ];

    public static IEnumerable<KernelSpec> LogProbs() => [LogSoftmaxGather(779, 512), LogSoftmaxGather(798, 4096), LogSoftmaxGather(747, 8192)];

    public static IEnumerable<KernelSpec> Norms() =>
        [RmsNorm(1130, 128), RmsNorm(1886, 256), RmsNormBackwardInput(1886, 256), RmsNormBackwardWeight(1886, 256)];

    public static IEnumerable<KernelSpec> Elementwise() => [SwiGlu(1130 * 344), SwiGlu(1886 * 688), SwiGluBackward(1886 * 688)];

    public static IEnumerable<KernelSpec> Optimisers() => [AdamW(857_216), AdamW(5_000_000)];

    public static IEnumerable<KernelSpec> All() => [.. Gemms(), .. Attention(), .. LogProbs(), .. Norms(), .. Elementwise(), .. Optimisers()];

    private static KernelSpec AttentionForward(int heads, int headSize, int prompt, int completion, int pairs)
    {
        var (layout, shape) = (Pairs(prompt, completion, pairs), new AttentionShape(heads, heads, headSize));
        var n = layout.Tokens * shape.QueryWidth;
        return new KernelSpec("SegmentAttention", Text(layout, shape), backend => new KernelCase(
            backend, streams: false, [n, n, n, n, heads * layout.Tokens], result: 3,
            (b, x) => b.SegmentAttention(shape, layout, x[0], x[1], x[2], x[3], x[4]),
            x => AttentionOutput(layout, shape, x)));
    }

    /// <summary>The backward pass needs what the forward pass makes, so that both are run.</summary>
    private static KernelSpec AttentionBothPasses(int heads, int headSize, int prompt, int completion, int pairs)
    {
        var (layout, shape) = (Pairs(prompt, completion, pairs), new AttentionShape(heads, heads, headSize));
        var n = layout.Tokens * shape.QueryWidth;
        return new KernelSpec("SegmentAttention and its backward", Text(layout, shape), backend => new KernelCase(
            backend, streams: false, [n, n, n, n, n, n, n, n, heads * layout.Tokens], result: 5,
            (b, x) =>
            {
                b.SegmentAttention(shape, layout, x[0], x[1], x[2], x[3], x[8]);
                b.SegmentAttentionBackward(shape, layout, x[0], x[1], x[2], x[3], x[8], x[4], x[5], x[6], x[7]);
            },
            x => AttentionQueryGradient(layout, shape, x)));
    }

    // The plain loops keep their sums in double; their results are rounded once.
    private static unsafe IEnumerable<(int Index, double Value)> AttentionOutput(SegmentLayout layout, AttentionShape shape, double[][] x)
    {
        var (heads, width) = (shape.Heads, shape.QueryWidth);
        Real[] output = new Real[x[0].Length], logSumExp = new Real[heads * layout.Tokens];
        fixed (Real* q = Rounded(x[0]), k = Rounded(x[1]), v = Rounded(x[2]), o = output, lse = logSumExp)
        {
            SegmentAttention.ForwardReference(layout, heads, heads, shape.HeadSize, shape.Scale, q, width, k, width, v, width, o, width, lse);
        }
        return output.Select(static (value, i) => (i, (double)value));
    }

    private static unsafe IEnumerable<(int Index, double Value)> AttentionQueryGradient(SegmentLayout layout, AttentionShape shape, double[][] x)
    {
        var (heads, width) = (shape.Heads, shape.QueryWidth);
        Real[] gradient = new Real[x[0].Length], ofKeys = new Real[x[0].Length], ofValues = new Real[x[0].Length];
        fixed (Real* q = Rounded(x[0]), k = Rounded(x[1]), v = Rounded(x[2]), dO = Rounded(x[4]), dq = gradient, dk = ofKeys, dv = ofValues)
        {
            SegmentAttention.BackwardReference(
                layout, heads, heads, shape.HeadSize, shape.Scale, q, width, k, width, v, width, dO, width, dq, dk, dv, accumulate: false);
        }
        return gradient.Select(static (value, i) => (i, (double)value));
    }

    /// <summary>Numbers of the engine's precision, back from double.</summary>
    private static Real[] Rounded(double[] x) => Array.ConvertAll(x, static v => (Real)v);

    private static KernelSpec LogSoftmaxGather(int rows, int vocabulary) =>
        new("LogSoftmaxGather", $"{rows} x {vocabulary}", backend =>
        {
            var targets = Index(backend, rows, r => r * 7 % vocabulary);
            return new KernelCase(
                backend, streams: true, [rows * vocabulary, rows, rows], result: 1,
                (b, x) => b.LogSoftmaxGather(x[0], targets, 0, rows, vocabulary, x[1], x[2]),
                x => Enumerable.Range(0, rows).Select(r =>
                {
                    var row = x[0].AsSpan(r * vocabulary, vocabulary).ToArray();
                    return (r, row[r * 7 % vocabulary] - Math.Log(row.Sum(Math.Exp)));
                }));
        });

    private static KernelSpec RmsNorm(int rows, int columns) =>
        new("RmsNorm", $"{rows} x {columns}", backend => new KernelCase(
            backend, streams: true, [rows * columns, columns, rows * columns, rows], result: 2,
            (b, x) => b.RmsNorm(x[0], x[1], rows, columns, (Real)1e-5, x[2], x[3]),
            x => All(rows, columns, (r, j) => x[0][(r * columns) + j] * Reciprocal(x[0], r, columns) * x[1][j])));

    private static KernelSpec RmsNormBackwardInput(int rows, int columns) =>
        new("RmsNormBackwardInput", $"{rows} x {columns}", backend => new KernelCase(
            backend, streams: true, [rows * columns, columns, rows, rows * columns, rows * columns], result: 4,
            (b, x) => b.RmsNormBackwardInput(x[0], x[1], x[2], x[3], rows, columns, x[4], false),
            x => All(rows, columns, (r, j) =>
            {
                var (at, scale) = (r * columns, x[2][r]);
                var dot = Enumerable.Range(0, columns).Sum(i => x[0][at + i] * x[1][i] * x[3][at + i]);
                return (scale * x[1][j] * x[3][at + j]) - (x[0][at + j] * scale * scale * scale * dot / columns);
            }, lastRow: 4)));

    private static KernelSpec RmsNormBackwardWeight(int rows, int columns) =>
        new("RmsNormBackwardWeight", $"{rows} x {columns}", backend => new KernelCase(
            backend, streams: true, [rows * columns, rows, rows * columns, columns], result: 3,
            (b, x) => b.RmsNormBackwardWeight(x[0], x[1], x[2], rows, columns, x[3], false),
            x => Enumerable.Range(0, columns).Select(j => (j, Enumerable.Range(0, rows).Sum(
                r => x[0][(r * columns) + j] * x[1][r] * x[2][(r * columns) + j])))));

    private static KernelSpec SwiGlu(int n) =>
        new("SwiGlu", $"{n}", backend => new KernelCase(
            backend, streams: true, [n, n, n], result: 2, (b, x) => b.SwiGlu(x[0], x[1], x[2]),
            x => Enumerable.Range(0, n).Select(i => (i, x[0][i] / (1 + Math.Exp(-x[0][i])) * x[1][i]))));

    private static KernelSpec SwiGluBackward(int n) =>
        new("SwiGluBackward", $"{n}", backend => new KernelCase(
            backend, streams: true, [n, n, n, n, n], result: 3, (b, x) => b.SwiGluBackward(x[0], x[1], x[2], x[3], false, x[4], false),
            x => Enumerable.Range(0, n).Select(i =>
            {
                var (z, sigmoid) = (x[0][i], 1 / (1 + Math.Exp(-x[0][i])));
                return (i, x[2][i] * x[1][i] * sigmoid * (1 + (z * (1 - sigmoid))));
            })));

    private static KernelSpec AdamW(int n)
    {
        var step = new AdamWStep((Real)1e-4, (Real)0.9, (Real)0.999, (Real)1e-8, (Real)0.01, (Real)0.1, (Real)0.001);
        return new KernelSpec("AdamW", $"{n}", backend => new KernelCase(
            backend, streams: true, [n, n, n, n], result: 2, (b, x) => b.AdamW(x[0], x[1], 1, x[2], x[3], step),
            x => Enumerable.Range(0, n).Select(i => (i, (step.Beta1 * x[2][i]) + ((1.0 - step.Beta1) * x[1][i]))),
            fill: static (buffer, i) => (buffer == 3 ? 1 : -1) + ((buffer == 3 ? 1 : 2) * Philox.Uniform(0, RandomPurpose.Test, 0, buffer, i))));
    }

    private static double Reciprocal(double[] x, int row, int columns) =>
        1 / Math.Sqrt((x.AsSpan(row * columns, columns).ToArray().Sum(static v => v * v) / columns) + 1e-5);

    private static IEnumerable<(int Index, double Value)> All(int rows, int columns, Func<int, int, double> value, int lastRow = 16) =>
        Enumerable.Range(0, Math.Min(rows, lastRow)).SelectMany(r => Enumerable.Range(0, columns).Select(j => ((r * columns) + j, value(r, j))));

    /// <summary>So many pairs of one length: prompt, chosen, rejected.</summary>
    private static SegmentLayout Pairs(int prompt, int completion, int pairs)
    {
        var segments = new List<Segment>();
        for (var pair = 0; pair < pairs; pair++)
        {
            var root = pair * (prompt + (2 * completion));
            segments.Add(new Segment(0, 0, root, prompt));
            segments.Add(new Segment(root, prompt, root + prompt, completion));
            segments.Add(new Segment(root, prompt, root + prompt + completion, completion));
        }
        return SegmentLayout.Validate([.. segments], pairs * (prompt + (2 * completion)));
    }

    private static string Text(SegmentLayout layout, AttentionShape shape) => $"{layout.Tokens} x {shape.Heads} x {shape.HeadSize}";

    private static IndexBuffer Index(CpuBackend backend, int count, Func<int, int> value)
    {
        var buffer = backend.Memory.RentIndex(count);
        backend.Upload([.. Enumerable.Range(0, count).Select(value)], buffer);
        return buffer;
    }
}
