using TinyDpo.Kernels;

namespace TinyDpo.Tensors;

/// <summary>
/// y = x W^T, plus one of two: a bias, b [out] in each row, or a residual, r [tokens, out]. x [tokens, in], weight [out, in] as PyTorch stores it,
/// y [tokens, out].
/// </summary>
internal sealed class LinearOp : Op
{
    private readonly Tensor _x;
    private readonly Tensor _weight;
    private readonly Tensor? _bias;
    private readonly Tensor? _residual;

    public LinearOp(Tensor x, Tensor weight, Tensor? bias, Tensor? residual)
        : base((bias ?? residual) is { } added ? [x, weight, added] : [x, weight])
    {
        Require(x.Shape.Columns == weight.Shape.Columns, $"linear: x {x.Shape} does not fit the weight {weight.Shape}");
        Require(bias is null || residual is null, $"linear: a bias {bias?.Shape} and a residual {residual?.Shape}, of which it adds only one");
        Require(bias is null || bias.Shape.Count == weight.Shape.Rows, $"linear: bias {bias?.Shape} does not fit the weight {weight.Shape}");
        (_x, _weight, _bias, _residual) = (x, weight, bias, residual);
        Require(residual is null || residual.Shape == OutputShape, $"linear: residual {residual?.Shape} does not fit the output {OutputShape}");
    }

    protected override Shape OutputShape => Shape.Matrix(_x.Shape.Rows, OutputWidth);

    private int OutputWidth => _weight.Shape.Rows;

    private int InputWidth => _weight.Shape.Columns;

    protected override void Forward(DeviceBuffer output)
    {
        var tokens = _x.Shape.Rows;
        Backend.Gemm(false, true, tokens, OutputWidth, InputWidth, 1, _x.Data, _weight.Data, false, output, _residual?.Data);
        if (_bias is not null)
        {
            Backend.AddBias(output, _bias.Data, tokens, OutputWidth);
        }
    }

    // dx = dy W, dW = dy^T x, db = the sum of dy over tokens, dr = dy.
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

        // Last: whoever takes dy over may add to it.
        if (_residual is not null && !TryPassOn(_residual, dOutput) && Wants(_residual, out var dResidual, out var addResidual))
        {
            Backend.Affine(dOutput, 1, 0, dResidual, addResidual);
        }
    }
}
