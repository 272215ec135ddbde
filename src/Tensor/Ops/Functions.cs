using TinyDpo.Kernels;

namespace TinyDpo.Tensors;

/// <summary>The operations of the library by name. With <c>using static TinyDpo.Tensors.Functions</c> code reads like its formula.</summary>
public static class Functions
{
    public static Tensor Exp(Tensor x) => new UnaryOp(UnaryFunction.Exp, x).Apply();

    public static Tensor Log(Tensor x) => new UnaryOp(UnaryFunction.Log, x).Apply();

    public static Tensor Sigmoid(Tensor x) => new UnaryOp(UnaryFunction.Sigmoid, x).Apply();

    /// <summary>log sigmoid(x), computed as -softplus(-x): no NaN and no lost digits from any margin.</summary>
    public static Tensor LogSigmoid(Tensor x) => new UnaryOp(UnaryFunction.LogSigmoid, x).Apply();

    public static Tensor Relu(Tensor x) => new UnaryOp(UnaryFunction.Relu, x).Apply();

    public static Tensor Square(Tensor x) => new UnaryOp(UnaryFunction.Square, x).Apply();

    public static Tensor Tanh(Tensor x) => new UnaryOp(UnaryFunction.Tanh, x).Apply();

    public static Tensor Abs(Tensor x) => new UnaryOp(UnaryFunction.Abs, x).Apply();

    /// <summary>GELU in its tanh form (Hendrycks and Gimpel 2016).</summary>
    public static Tensor Gelu(Tensor x) => new UnaryOp(UnaryFunction.Gelu, x).Apply();

    /// <summary>x W^T plus a bias [out] or a residual [tokens, out]: x [tokens, in], weight [out, in].</summary>
    public static Tensor Linear(Tensor x, Tensor weight, Tensor? bias = null, Tensor? residual = null) =>
        new LinearOp(x, weight, bias, residual).Apply();

    /// <summary>Rows of table [rows, columns] by index; with token ids the embedding layer. Or elements of a vector.</summary>
    public static Tensor RowGather(Tensor table, IndexBuffer index) => new RowGatherOp(table, index).Apply();

    public static Tensor RmsNorm(Tensor x, Tensor weight, double epsilon) => new RmsNormOp(x, weight, (Real)epsilon).Apply();

    public static Tensor LayerNorm(Tensor x, Tensor weight, Tensor bias, double epsilon) => new LayerNormOp(x, weight, bias, (Real)epsilon).Apply();

    public static Tensor Rotary(Tensor x, IndexBuffer positions, RotaryTable table) => new RotaryOp(x, positions, table).Apply();

    public static Tensor SegmentAttention(AttentionShape shape, SegmentLayout segments, Tensor q, Tensor k, Tensor v) =>
        new SegmentAttentionOp(shape, segments, q, k, v).Apply();

    public static Tensor SwiGlu(Tensor gate, Tensor up) => new SwiGluOp(gate, up).Apply();

    /// <summary>log softmax(hidden[rows] head^T) at the targets, [n], without the logits [n, vocabulary].</summary>
    public static Tensor LinearLogProb(Tensor hidden, Tensor head, IndexBuffer rows, IndexBuffer targets) =>
        new LinearLogProbOp(hidden, head, rows, targets).Apply();

    /// <summary>f(x), to the same bits, keeping x alone of it for backward, which computes f again.</summary>
    /// <param name="parameters">What f holds besides x and may want a gradient.</param>
    /// <param name="outputShape">That of f(x).</param>
    public static Tensor Recomputed(Tensor x, IEnumerable<Tensor> parameters, Shape outputShape, Func<Tensor, Tensor> f) =>
        new RecomputedOp(x, [.. parameters], outputShape, f).Apply();

    /// <summary>Sums of consecutive elements: x [n], offsets [segments + 1].</summary>
    public static Tensor SegmentSum(Tensor x, IndexBuffer offsets) => new SegmentSumOp(x, offsets).Apply();
}
