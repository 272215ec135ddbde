using TinyDpo.Kernels;

namespace TinyDpo.Tensors;

/// <summary>y = f(x), element by element.</summary>
internal sealed class UnaryOp(UnaryFunction f, Tensor x) : Op(x)
{
    protected override Shape OutputShape => x.Shape;

    protected override void Forward(DeviceBuffer output) => Backend.Unary(f, x.Data, output);

    protected override void Backward(DeviceBuffer dOutput)
    {
        if (Wants(x, out var dx, out var accumulate))
        {
            Backend.UnaryBackward(f, x.Data, OutputData, dOutput, dx, accumulate);
        }
    }
}

/// <summary>y = f(a, b), element by element, for two tensors of one shape.</summary>
internal sealed class BinaryOp : Op
{
    private readonly BinaryFunction _f;
    private readonly Tensor _a;
    private readonly Tensor _b;

    public BinaryOp(BinaryFunction f, Tensor a, Tensor b)
        : base(a, b)
    {
        Require(a.Shape == b.Shape, $"{f} of shapes {a.Shape} and {b.Shape}: they must be equal");
        (_f, _a, _b) = (f, a, b);
    }

    protected override Shape OutputShape => _a.Shape;

    protected override void Forward(DeviceBuffer output) => Backend.Binary(_f, _a.Data, _b.Data, output);

    protected override void Backward(DeviceBuffer dOutput)
    {
        // The derivative of a sum is 1: the first input to need a buffer takes dOutput itself.
        if (!(_f is BinaryFunction.Add or BinaryFunction.Subtract && TryPassOn(_a, dOutput)) && Wants(_a, out var da, out var addA))
        {
            Backend.BinaryBackwardFirst(_f, _a.Data, _b.Data, dOutput, da, addA);
        }
        if (!(_f is BinaryFunction.Add && TryPassOn(_b, dOutput)) && Wants(_b, out var db, out var addB))
        {
            Backend.BinaryBackwardSecond(_f, _a.Data, _b.Data, dOutput, db, addB);
        }
    }
}

/// <summary>y = scale x + shift, with two constants.</summary>
internal sealed class AffineOp(Tensor x, Real scale, Real shift) : Op(x)
{
    protected override Shape OutputShape => x.Shape;

    protected override void Forward(DeviceBuffer output) => Backend.Affine(x.Data, scale, shift, output, accumulate: false);

    protected override void Backward(DeviceBuffer dOutput)
    {
        if (Wants(x, out var dx, out var accumulate))
        {
            Backend.Affine(dOutput, scale, 0, dx, accumulate);
        }
    }
}

/// <summary>y = silu(gate) up (Shazeer 2020).</summary>
internal sealed class SwiGluOp : Op
{
    private readonly Tensor _gate;
    private readonly Tensor _up;

    public SwiGluOp(Tensor gate, Tensor up)
        : base(gate, up)
    {
        Require(gate.Shape == up.Shape, $"SwiGLU of a gate {gate.Shape} and an up {up.Shape}: they must be equal");
        (_gate, _up) = (gate, up);
    }

    protected override Shape OutputShape => _gate.Shape;

    protected override void Forward(DeviceBuffer output) => Backend.SwiGlu(_gate.Data, _up.Data, output);

    protected override void Backward(DeviceBuffer dOutput)
    {
        // One pass gives both gradients; where only one is wanted, the other goes to a buffer that is given back at once.
        var wantsGate = Wants(_gate, out var dGate, out var addGate);
        var wantsUp = Wants(_up, out var dUp, out var addUp);
        if (!wantsGate)
        {
            dGate = Save(_gate.Shape.Count);
        }
        if (!wantsUp)
        {
            dUp = Save(_up.Shape.Count);
        }
        Backend.SwiGluBackward(_gate.Data, _up.Data, dOutput, dGate, addGate, dUp, addUp);
        Release(wantsGate ? null : dGate);
        Release(wantsUp ? null : dUp);
    }
}
