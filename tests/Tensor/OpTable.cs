using TinyDpo.Kernels;
using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Tests;

/// <summary>Every op of the engine at ordinary, odd and empty sizes.</summary>
public static class OpTable
{
    private static readonly int[] s_lengths = [0, 1, 5, 37];
    private static readonly (int Rows, int Columns)[] s_matrices = [(0, 4), (1, 1), (3, 7), (5, 16), (9, 33)];

    // Beside a warp, a block and a few blocks: where a kernel for a GPU would go wrong. Too large for finite differences.
    private static readonly int[] s_deviceLengths = [31, 33, 1000, 8191];
    private static readonly (int Rows, int Columns)[] s_deviceMatrices = [(1, 31), (33, 33), (31, 1000), (1000, 33), (3, 8191)];

    public static IEnumerable<OpRow> Rows() =>
        Elementwise(s_lengths).Concat(Reductions(s_lengths)).Concat(Linears([(0, 3, 4), (1, 1, 1), (5, 7, 3), (13, 33, 17)])).Concat(Norms(s_matrices))
            .Concat(Gathers([[], [2], [0, 4, 4, 1, 4]], 11)).Concat(LogProbs(s_logProbs)).Concat(Recomputations([(0, 3), (1, 1), (5, 7), (9, 16)])).Concat(AttentionTable.Rows());

    /// <summary>The same ops at the sizes that are hard for a GPU: for comparing one device with another.</summary>
    public static IEnumerable<OpRow> DeviceRows() =>
        Elementwise(s_deviceLengths).Concat(Reductions(s_deviceLengths)).Concat(Linears([(33, 31, 100)])).Concat(Norms(s_deviceMatrices))
            .Concat(Gathers([[0, 4, 4, 1, 4]], 1000)).Concat(LogProbs([([0, 3, 3, 1, 5, 5, 5], 1000, 100_000), ([4, 1, 1], 8191, 8191)]))
            .Concat(Recomputations([(33, 31)])).Concat(AttentionTable.DeviceRows());

    private static readonly (int[] Rows, int Vocabulary, int ChunkBudget)[] s_logProbs =
    [
        ([], 5, 1000), ([3], 1, 1000), ([0, 3, 3, 1, 5, 5, 5], 19, 1000), ([0, 3, 3, 1, 5, 5, 5], 19, 2 * 19),
    ];

    private static IEnumerable<OpRow> Elementwise(int[] lengths)
    {
        foreach (var n in lengths)
        {
            yield return Unary("exp", n, Exp, Math.Exp);
            yield return Unary("log", n, Log, Math.Log, 0.5, 3);
            yield return Unary("sigmoid", n, Sigmoid, static x => 1 / (1 + Math.Exp(-x)), -8, 8);
            yield return Unary("log-sigmoid", n, LogSigmoid, static x => Math.Min(x, 0) - Math.Log(1 + Math.Exp(-Math.Abs(x))), -8, 8);
            yield return Unary("relu", n, Relu, static x => Math.Max(x, 0));
            yield return Unary("square", n, Square, static x => x * x);
            yield return Unary("tanh", n, Tanh, Math.Tanh, -3, 3);
            yield return Unary("abs", n, Abs, Math.Abs);
            yield return Unary("negate", n, static x => -x, static x => -x);
            yield return Unary(
                "gelu", n, Gelu, static x => 0.5 * x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + (0.044715 * x * x * x)))), -3, 3);
            yield return Binary("add", n, static (a, b) => a + b, static (a, b) => a + b);
            yield return Binary("subtract", n, static (a, b) => a - b, static (a, b) => a - b);
            yield return Binary("multiply", n, static (a, b) => a * b, static (a, b) => a * b);
            yield return Binary("divide", n, static (a, b) => a / b, static (a, b) => a / b, 0.5, 2);
            yield return Unary("affine", n, static x => 1.5 - (0.25 * x), static x => 1.5 - (0.25 * x)) with { Op = nameof(AffineOp) };
            yield return Unary("x + x: one tensor twice", n, static x => x + x, static x => x + x) with { Op = nameof(BinaryOp) };
            yield return Unary("x - x * x: a gradient passed on, then added to", n, static x => x - (x * x), static x => x - (x * x)) with
            {
                Op = nameof(BinaryOp),
            };
            yield return Binary("swiglu", n, SwiGlu, static (a, b) => a / (1 + Math.Exp(-a)) * b, -4, 4) with { Op = nameof(SwiGluOp) };
        }
    }

    private static IEnumerable<OpRow> Reductions(int[] lengths)
    {
        foreach (var n in lengths)
        {
            yield return new OpRow
            {
                Name = $"sum [{n}]",
                Op = nameof(SumOp),
                Inputs = [Shape.Vector(n)],
                Terms = n,
                Build = static (_, x) => x[0].Sum(),
                Reference = static x => [x[0].Sum()],
            };
        }
        yield return new OpRow
        {
            Name = "mean [9]",
            Op = nameof(SumOp),
            Inputs = [Shape.Vector(9)],
            Terms = 9,
            Build = static (_, x) => x[0].Mean(),
            Reference = static x => [x[0].Average()],
        };
        foreach (var offsets in new int[][] { [0], [0, 0], [0, 3, 3, 11, 12] })
        {
            yield return new OpRow
            {
                Name = $"segment sum at {string.Join(' ', offsets)}",
                Op = nameof(SegmentSumOp),
                Inputs = [Shape.Vector(offsets[^1])],
                Terms = 8,
                Build = (backend, x) => SegmentSum(x[0], Index(backend, offsets)),
                Reference = x => [.. offsets.Skip(1).Select((end, s) => x[0][offsets[s]..end].Sum())],
            };
        }
        foreach (var (from, length) in new[] { (0, 9), (2, 5), (4, 0) })
        {
            yield return new OpRow
            {
                Name = $"slice [{from}, +{length}) of 9",
                Op = nameof(SliceOp),
                Inputs = [Shape.Vector(9)],
                Build = (_, x) => x[0].Slice(from, length),
                Reference = x => x[0][from..(from + length)],
            };
        }
        yield return new OpRow
        {
            Name = "slice [1, +3) of a column of 5",
            Op = nameof(SliceOp),
            Inputs = [Shape.Matrix(5, 1)],
            Build = static (_, x) => x[0].Slice(1, 3),
            Reference = static x => x[0][1..4],
        };
        yield return new OpRow
        {
            Name = "two slices of one vector",
            Op = nameof(SliceOp),
            Inputs = [Shape.Vector(6)],
            Build = static (_, x) => x[0].Slice(0, 3) * x[0].Slice(3, 3),
            Reference = static x => [x[0][0] * x[0][3], x[0][1] * x[0][4], x[0][2] * x[0][5]],
        };
    }

    private static IEnumerable<OpRow> Linears((int Tokens, int Inputs, int Outputs)[] sizes)
    {
        foreach (var (tokens, inputs, outputs) in sizes)
        {
            var shapes = new[] { Shape.Matrix(tokens, inputs), Shape.Matrix(outputs, inputs), Shape.Vector(outputs) };
            yield return new OpRow
            {
                Name = $"linear {tokens} x {inputs} -> {outputs}",
                Op = nameof(LinearOp),
                Inputs = shapes[..2],
                Terms = Math.Max(inputs, tokens),
                Build = static (_, x) => Linear(x[0], x[1]),
                Reference = x => MatMulTransposed(x[0], x[1], tokens, inputs, outputs),
            };
            yield return new OpRow
            {
                Name = $"linear with bias {tokens} x {inputs} -> {outputs}",
                Op = nameof(LinearOp),
                Inputs = shapes,
                Terms = Math.Max(inputs, tokens),
                Build = static (_, x) => Linear(x[0], x[1], x[2]),
                Reference = x => [.. MatMulTransposed(x[0], x[1], tokens, inputs, outputs).Select((v, i) => v + x[2][i % outputs])],
            };
            yield return new OpRow
            {
                Name = $"linear with residual {tokens} x {inputs} -> {outputs}",
                Op = nameof(LinearOp),
                Inputs = [.. shapes[..2], Shape.Matrix(tokens, outputs)],
                Terms = Math.Max(inputs, tokens),
                Build = static (_, x) => Linear(x[0], x[1], residual: x[2]),
                Reference = x => [.. MatMulTransposed(x[0], x[1], tokens, inputs, outputs).Select((v, i) => v + x[2][i])],
            };
            yield return new OpRow
            {
                Name = $"linear, its input the residual, {tokens} x {inputs}",
                Op = nameof(LinearOp),
                Inputs = [Shape.Matrix(tokens, inputs), Shape.Matrix(inputs, inputs)],
                Terms = Math.Max(inputs, tokens),
                Build = static (_, x) => Linear(x[0], x[1], residual: x[0]),
                Reference = x => [.. MatMulTransposed(x[0], x[1], tokens, inputs, inputs).Select((v, i) => v + x[0][i])],
            };
        }
    }

    private static IEnumerable<OpRow> Norms((int Rows, int Columns)[] sizes)
    {
        foreach (var (rows, columns) in sizes)
        {
            var (x, vector) = (Shape.Matrix(rows, columns), Shape.Vector(columns));
            yield return new OpRow
            {
                Name = $"RMSNorm {rows} x {columns}",
                Op = nameof(RmsNormOp),
                Inputs = [x, vector],
                Terms = Math.Max(rows, columns),
                Build = static (_, x) => RmsNorm(x[0], x[1], 1e-5),
                Reference = x => PerRow(x[0], columns, row =>
                {
                    var rms = Math.Sqrt(row.Average(static v => v * v) + 1e-5);
                    return [.. row.Select((v, j) => v / rms * x[1][j])];
                }),
            };
            yield return new OpRow
            {
                Name = $"LayerNorm {rows} x {columns}",
                Op = nameof(LayerNormOp),
                Inputs = [x, vector, vector],
                Terms = 8 * Math.Max(rows, columns),
                Build = static (_, x) => LayerNorm(x[0], x[1], x[2], 1e-2),
                Reference = x => PerRow(x[0], columns, row =>
                {
                    var mean = row.Average();
                    var deviation = Math.Sqrt(row.Average(v => (v - mean) * (v - mean)) + 1e-2);
                    return [.. row.Select((v, j) => ((v - mean) / deviation * x[1][j]) + x[2][j])];
                }),
            };
        }
    }

    private static IEnumerable<OpRow> Gathers(int[][] indices, int width)
    {
        foreach (var index in indices)
        {
            yield return new OpRow
            {
                Name = $"row gather at {string.Join(' ', index)} of {width} columns",
                Op = nameof(RowGatherOp),
                Inputs = [Shape.Matrix(5, width)],
                Terms = 3,
                Build = (backend, x) => RowGather(x[0], Index(backend, index)),
                Reference = x => [.. index.SelectMany(row => x[0][(row * width)..((row + 1) * width)])],
            };
            yield return new OpRow
            {
                Name = $"elements of a vector at {string.Join(' ', index)}",
                Op = nameof(RowGatherOp),
                Inputs = [Shape.Vector(5)],
                Terms = 3,
                Build = (backend, x) => RowGather(x[0], Index(backend, index)),
                Reference = x => [.. index.Select(row => x[0][row])],
            };
        }
    }

    private static IEnumerable<OpRow> LogProbs((int[] Rows, int Vocabulary, int ChunkBudget)[] sizes)
    {
        foreach (var (rows, vocabulary, chunkBudget) in sizes)
        {
            const int width = 6;
            int[] targets = [.. rows.Select((_, i) => i * 5 % vocabulary)];
            yield return new OpRow
            {
                Name = $"linear log-prob, {rows.Length} rows, {vocabulary} words, {chunkBudget} logits at a time",
                Op = nameof(LinearLogProbOp),
                Inputs = [Shape.Matrix(6, width), Shape.Matrix(vocabulary, width)],
                Terms = 4 * vocabulary,
                Low = -2,
                High = 2,
                Build = (backend, x) => new LinearLogProbOp(x[0], x[1], Index(backend, rows), Index(backend, targets), chunkBudget).Apply(),
                Reference = x =>
                [
                    .. rows.Select((row, i) =>
                    {
                        var logits = MatMulTransposed(x[0][(row * width)..((row + 1) * width)], x[1], 1, width, vocabulary);
                        return logits[targets[i]] - Math.Log(logits.Sum(Math.Exp));
                    }),
                ],
            };
        }
    }

    private static IEnumerable<OpRow> Recomputations((int Tokens, int Width)[] sizes)
    {
        foreach (var (tokens, width) in sizes)
        {
            yield return new OpRow
            {
                Name = $"recomputed residual block {tokens} x {width}",
                Op = nameof(RecomputedOp),
                Inputs = [Shape.Matrix(tokens, width), Shape.Matrix(width, width)],
                Terms = 4 * Math.Max(tokens, width),
                Build = (_, x) => Recomputed(x[0], [x[1]], x[0].Shape, h => h + Tanh(Linear(h, x[1]))),
                Reference = x => [.. x[0].Zip(MatMulTransposed(x[0], x[1], tokens, width, width), static (h, y) => h + Math.Tanh(y))],
            };
        }
    }

    internal static IndexBuffer Index(IBackend backend, int[] values)
    {
        var buffer = backend.Memory.RentIndex(values.Length);
        backend.Upload(values, buffer);
        return buffer;
    }

    private static OpRow Unary(string name, int n, Func<Tensor, Tensor> build, Func<double, double> f, double low = -2, double high = 2) => new()
    {
        Name = $"{name} [{n}]",
        Op = nameof(UnaryOp),
        Inputs = [Shape.Vector(n)],
        Low = low,
        High = high,
        Terms = 4,
        Build = (_, x) => build(x[0]),
        Reference = x => [.. x[0].Select(f)],
    };

    private static OpRow Binary(
        string name, int n, Func<Tensor, Tensor, Tensor> build, Func<double, double, double> f, double low = -2, double high = 2) => new()
        {
            Name = $"{name} [{n}]",
            Op = nameof(BinaryOp),
            Inputs = [Shape.Vector(n), Shape.Vector(n)],
            Low = low,
            High = high,
            Terms = 4,
            Build = (_, x) => build(x[0], x[1]),
            Reference = x => [.. x[0].Zip(x[1], f)],
        };

    private static double[] PerRow(double[] x, int columns, Func<double[], double[]> f) => [.. x.Chunk(columns).SelectMany(f)];

    private static double[] MatMulTransposed(double[] x, double[] w, int rows, int inner, int columns)
    {
        var y = new double[rows * columns];
        for (var i = 0; i < rows; i++)
        {
            for (var j = 0; j < columns; j++)
            {
                for (var p = 0; p < inner; p++)
                {
                    y[(i * columns) + j] += x[(i * inner) + p] * w[(j * inner) + p];
                }
            }
        }
        return y;
    }
}
