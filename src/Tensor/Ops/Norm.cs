using TinyDpo.Kernels;

namespace TinyDpo.Tensors;

/// <summary>y = x / rms(x) * weight, row by row (Zhang and Sennrich 2019): x, y [tokens, hidden], weight [hidden].</summary>
internal sealed class RmsNormOp : Op
{
    private readonly Tensor _x;
    private readonly Tensor _weight;
    private readonly Real _epsilon;
    private DeviceBuffer? _reciprocal;

    public RmsNormOp(Tensor x, Tensor weight, Real epsilon)
        : base(x, weight)
    {
        Require(weight.Shape.Count == x.Shape.Columns, $"RMSNorm: weight {weight.Shape} does not fit x {x.Shape}");
        (_x, _weight, _epsilon) = (x, weight, epsilon);
    }

    protected override Shape OutputShape => _x.Shape;

    protected override void Forward(DeviceBuffer output)
    {
        _reciprocal = Save(_x.Shape.Rows);
        Backend.RmsNorm(_x.Data, _weight.Data, _x.Shape.Rows, _x.Shape.Columns, _epsilon, output, _reciprocal);
    }

    protected override void Backward(DeviceBuffer dOutput)
    {
        var (rows, columns) = (_x.Shape.Rows, _x.Shape.Columns);
        if (Wants(_x, out var dx, out var addX))
        {
            Backend.RmsNormBackwardInput(_x.Data, _weight.Data, _reciprocal!, dOutput, rows, columns, dx, addX);
        }
        if (Wants(_weight, out var dWeight, out var addWeight))
        {
            Backend.RmsNormBackwardWeight(_x.Data, _reciprocal!, dOutput, rows, columns, dWeight, addWeight);
        }
    }

    protected override void ReleaseSaved() => Release(_reciprocal);
}

/// <summary>y = (x - mean) / sqrt(variance + epsilon) * weight + bias, row by row (Ba et al. 2016): x, y [tokens, hidden].</summary>
internal sealed class LayerNormOp : Op
{
    private readonly Tensor _x;
    private readonly Tensor _weight;
    private readonly Tensor _bias;
    private readonly Real _epsilon;
    private DeviceBuffer? _mean;
    private DeviceBuffer? _reciprocal;

    public LayerNormOp(Tensor x, Tensor weight, Tensor bias, Real epsilon)
        : base(x, weight, bias)
    {
        Require(
            weight.Shape.Count == x.Shape.Columns && bias.Shape.Count == x.Shape.Columns,
            $"LayerNorm: weight {weight.Shape} and bias {bias.Shape} do not fit x {x.Shape}");
        (_x, _weight, _bias, _epsilon) = (x, weight, bias, epsilon);
    }

    protected override Shape OutputShape => _x.Shape;

    protected override void Forward(DeviceBuffer output)
    {
        _mean = Save(_x.Shape.Rows);
        _reciprocal = Save(_x.Shape.Rows);
        Backend.LayerNorm(_x.Data, _weight.Data, _bias.Data, _x.Shape.Rows, _x.Shape.Columns, _epsilon, output, _mean, _reciprocal);
    }

    protected override void Backward(DeviceBuffer dOutput)
    {
        var (rows, columns) = (_x.Shape.Rows, _x.Shape.Columns);
        if (Wants(_x, out var dx, out var addX))
        {
            Backend.LayerNormBackwardInput(_x.Data, _weight.Data, _mean!, _reciprocal!, dOutput, rows, columns, dx, addX);
        }
        if (Wants(_weight, out var dWeight, out var addWeight))
        {
            Backend.LayerNormBackwardWeight(_x.Data, _mean!, _reciprocal!, dOutput, rows, columns, dWeight, addWeight);
        }
        if (Wants(_bias, out var dBias, out var addBias))
        {
            Backend.ColumnSum(dOutput, rows, columns, dBias, addBias);
        }
    }

    protected override void ReleaseSaved()
    {
        Release(_mean);
        Release(_reciprocal);
    }
}
