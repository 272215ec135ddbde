using TinyDpo.Kernels;

namespace TinyDpo.Tensors;

/// <summary>y = x W^T + b: x [tokens, in], weight [out, in] as PyTorch stores it, bias [out] or none, y [tokens, out].</summary>
internal sealed class LinearOp : Op
{
    private readonly Tensor _x;
    private readonly Tensor _weight;
    private readonly Tensor? _bias;

    public LinearOp(Tensor x, Tensor weight, Tensor? bias)
        : base(bias is null ? [x, weight] : [x, weight, bias])
    {
        Require(x.Shape.Columns == weight.Shape.Columns, $"linear: x {x.Shape} does not fit the weight {weight.Shape}");
        Require(bias is null || bias.Shape.Count == weight.Shape.Rows, $"linear: bias {bias?.Shape} does not fit the weight {weight.Shape}");
        (_x, _weight, _bias) = (x, weight, bias);
    }

    protected override Shape OutputShape => Shape.Matrix(_x.Shape.Rows, OutputWidth);

    private int OutputWidth => _weight.Shape.Rows;

    private int InputWidth => _weight.Shape.Columns;

    protected override void Forward(DeviceBuffer output)
    {
        var tokens = _x.Shape.Rows;
        Backend.Gemm(false, true, tokens, OutputWidth, InputWidth, 1, _x.Data, _weight.Data, false, output);
        if (_bias is not null)
        {
            Backend.AddBias(output, _bias.Data, tokens, OutputWidth);
        }
    }

    // dx = dy W, dW = dy^T x, db = the sum of dy over tokens.
    protected override void Backward(DeviceBuffer dOutput)
    {
        var tokens = _x.Shape.Rows;
        if (Wants(_x, out var dx, out var addX))
        {
            Backend.Gemm(false, false, tokens, InputWidth, OutputWidth, 1, dOutput, _weight.Data, addX, dx);
        }
        if (Wants(_weight, out var dWeight, out var addWeight))
        {
            Backend.Gemm(true, false, OutputWidth, InputWidth, tokens, 1, dOutput, _x.Data, addWeight, dWeight);
        }
        if (_bias is not null && Wants(_bias, out var dBias, out var addBias))
        {
            Backend.ColumnSum(dOutput, tokens, OutputWidth, dBias, addBias);
        }
    }
}
