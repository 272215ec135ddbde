namespace TinyDpo.Kernels;

public sealed unsafe partial class CudaBackend
{
    private const int BlockThreads = 256;

    // Elements of a block in elementwise kernels: four to a thread.
    private const int ElementsOfBlock = 4 * BlockThreads;

    /// <summary>What the derivative of a function is made of.</summary>
    private enum Saved
    {
        Nothing,
        X,
        Y,
    }

    public void Unary(UnaryFunction f, DeviceBuffer x, DeviceBuffer y)
    {
        var n = x.Length;
        RequireLength(y, n);
        LaunchElements($"unary_{KernelName(f).Kernel}", n, In(x, n), Out(y, n), n);
    }

    public void UnaryBackward(UnaryFunction f, DeviceBuffer x, DeviceBuffer y, DeviceBuffer dy, DeviceBuffer dx, bool accumulate)
    {
        var n = x.Length;
        RequireLength(y, n);
        RequireLength(dy, n);
        RequireLength(dx, n);
        var (name, saved) = KernelName(f);
        LaunchElements(
            $"unary_{name}_backward", n, In(saved == Saved.Y ? y : x, n, saved == Saved.Nothing ? 0 : n), In(dy, n), Result(dx, n, accumulate), n,
            accumulate);
    }

    public void Binary(BinaryFunction f, DeviceBuffer a, DeviceBuffer b, DeviceBuffer y)
    {
        var n = a.Length;
        RequireLength(b, n);
        RequireLength(y, n);
        LaunchElements($"binary_{KernelName(f)}", n, In(a, n), In(b, n), Out(y, n), n);
    }

    // Only a product and a quotient need the inputs: a product the other one, a quotient b, and for its second derivative both.
    public void BinaryBackwardFirst(BinaryFunction f, DeviceBuffer a, DeviceBuffer b, DeviceBuffer dy, DeviceBuffer da, bool accumulate) =>
        BinaryBackward(f, "first", a, b, dy, da, accumulate, readsA: false, readsB: f is BinaryFunction.Multiply or BinaryFunction.Divide);

    public void BinaryBackwardSecond(BinaryFunction f, DeviceBuffer a, DeviceBuffer b, DeviceBuffer dy, DeviceBuffer db, bool accumulate) =>
        BinaryBackward(
            f, "second", a, b, dy, db, accumulate, readsA: f is BinaryFunction.Multiply or BinaryFunction.Divide,
            readsB: f is BinaryFunction.Divide);

    public void Affine(DeviceBuffer x, Real scale, Real shift, DeviceBuffer y, bool accumulate)
    {
        var n = x.Length;
        RequireLength(y, n);
        LaunchElements("affine", n, In(x, n), scale, shift, Result(y, n, accumulate), n, accumulate);
    }

    public void SwiGlu(DeviceBuffer gate, DeviceBuffer up, DeviceBuffer y)
    {
        var n = gate.Length;
        RequireLength(up, n);
        RequireLength(y, n);
        LaunchElements("swiglu", n, In(gate, n), In(up, n), Out(y, n), n);
    }

    public void SwiGluBackward(
        DeviceBuffer gate, DeviceBuffer up, DeviceBuffer dy, DeviceBuffer dGate, bool accumulateGate, DeviceBuffer dUp, bool accumulateUp)
    {
        var n = gate.Length;
        RequireLength(up, n);
        RequireLength(dy, n);
        RequireLength(dGate, n);
        RequireLength(dUp, n);
        LaunchElements(
            "swiglu_backward", n, In(gate, n), In(up, n), In(dy, n), Result(dGate, n, accumulateGate), Result(dUp, n, accumulateUp), n,
            accumulateGate, accumulateUp);
    }

    private void BinaryBackward(
        BinaryFunction f, string which, DeviceBuffer a, DeviceBuffer b, DeviceBuffer dy, DeviceBuffer d, bool accumulate, bool readsA, bool readsB)
    {
        var n = a.Length;
        RequireLength(b, n);
        RequireLength(dy, n);
        RequireLength(d, n);
        LaunchElements(
            $"binary_{KernelName(f)}_backward_{which}", n, In(a, n, readsA ? n : 0), In(b, n, readsB ? n : 0), In(dy, n), Result(d, n, accumulate), n,
            accumulate);
    }

    // No elements, no launch: a grid of no blocks is an error.
    private void LaunchElements(string kernel, int n, params ReadOnlySpan<KernelArgument> arguments)
    {
        if (n > 0)
        {
            Launch(kernel, Grid.Of(Blocks(n, ElementsOfBlock), BlockThreads), arguments);
        }
    }

    private static long Blocks(long items, int itemsOfBlock) => (items + itemsOfBlock - 1) / itemsOfBlock;

    private static (string Kernel, Saved Saved) KernelName(UnaryFunction f) => f switch
    {
        UnaryFunction.Negate => ("negate", Saved.Nothing),
        UnaryFunction.Exp => ("exp", Saved.Y),
        UnaryFunction.Log => ("log", Saved.X),
        UnaryFunction.Sigmoid => ("sigmoid", Saved.Y),
        UnaryFunction.LogSigmoid => ("log_sigmoid", Saved.X),
        UnaryFunction.Relu => ("relu", Saved.X),
        UnaryFunction.Square => ("square", Saved.X),
        UnaryFunction.Tanh => ("tanh", Saved.Y),
        UnaryFunction.Abs => ("abs", Saved.X),
        UnaryFunction.Gelu => ("gelu", Saved.X),
        _ => throw new ArgumentOutOfRangeException(nameof(f)),
    };

    private static string KernelName(BinaryFunction f) => f switch
    {
        BinaryFunction.Add => "add",
        BinaryFunction.Subtract => "subtract",
        BinaryFunction.Multiply => "multiply",
        BinaryFunction.Divide => "divide",
        _ => throw new ArgumentOutOfRangeException(nameof(f)),
    };
}
