namespace TinyDpo.Kernels;

/// <summary>Functions of one number. Gelu is the tanh form.</summary>
public enum UnaryFunction
{
    Negate,
    Exp,
    Log,
    Sigmoid,
    LogSigmoid,
    Relu,
    Square,
    Tanh,
    Abs,
    Gelu,
}

/// <summary>Functions of two numbers.</summary>
public enum BinaryFunction
{
    Add,
    Subtract,
    Multiply,
    Divide,
}

public partial interface IBackend
{
    /// <summary>y[i] = f(x[i]).</summary>
    void Unary(UnaryFunction f, DeviceBuffer x, DeviceBuffer y);

    /// <summary>dx[i] (+)= f'(x[i]) dy[i]; y holds f(x).</summary>
    void UnaryBackward(UnaryFunction f, DeviceBuffer x, DeviceBuffer y, DeviceBuffer dy, DeviceBuffer dx, bool accumulate);

    /// <summary>y[i] = f(a[i], b[i]).</summary>
    void Binary(BinaryFunction f, DeviceBuffer a, DeviceBuffer b, DeviceBuffer y);

    /// <summary>da[i] (+)= df/da dy[i].</summary>
    void BinaryBackwardFirst(BinaryFunction f, DeviceBuffer a, DeviceBuffer b, DeviceBuffer dy, DeviceBuffer da, bool accumulate);

    /// <summary>db[i] (+)= df/db dy[i].</summary>
    void BinaryBackwardSecond(BinaryFunction f, DeviceBuffer a, DeviceBuffer b, DeviceBuffer dy, DeviceBuffer db, bool accumulate);

    /// <summary>y[i] = scale x[i] + shift, or y[i] + that.</summary>
    void Affine(DeviceBuffer x, Real scale, Real shift, DeviceBuffer y, bool accumulate);

    /// <summary>y[i] = silu(gate[i]) up[i], where silu(z) = z sigmoid(z) (Shazeer 2020, "GLU variants improve transformer").</summary>
    void SwiGlu(DeviceBuffer gate, DeviceBuffer up, DeviceBuffer y);

    /// <summary>The gradients of <see cref="SwiGlu"/> by both inputs, in one pass.</summary>
    void SwiGluBackward(
        DeviceBuffer gate, DeviceBuffer up, DeviceBuffer dy, DeviceBuffer dGate, bool accumulateGate, DeviceBuffer dUp, bool accumulateUp);
}
