using TinyDpo.Kernels;

namespace TinyDpo.Tensors;

/// <summary>
/// A scalar, vector or matrix of numbers on a device, with its place in the graph of ops that made it. Tensors of a step need no Dispose:
/// their <see cref="StepScope"/> ends them.
/// </summary>
public sealed partial class Tensor
{
    private Lazy<DeviceBuffer>? _ownGradient;

    private Tensor(IBackend backend, Shape shape, DeviceBuffer data, bool requiresGrad, Op? producer, Lazy<DeviceBuffer>? ownGradient = null)
    {
        Backend = backend;
        Shape = shape;
        Data = data;
        RequiresGrad = requiresGrad;
        Producer = producer;
        _ownGradient = ownGradient;
    }

    public Shape Shape { get; }

    public IBackend Backend { get; }

    public DeviceBuffer Data { get; }

    /// <summary>The gradient of the last Backward, or null before the first contribution to it.</summary>
    public DeviceBuffer? Grad { get; private set; }

    public bool RequiresGrad { get; private set; }

    /// <summary>The op whose output this is, where backward has to go on.</summary>
    internal Op? Producer { get; }

    /// <summary>A tensor of the innermost scope that holds <paramref name="values"/>, row by row.</summary>
    public static Tensor From(IBackend backend, Shape shape, ReadOnlySpan<Real> values, bool requiresGrad = false)
    {
        if (values.Length != shape.Count)
        {
            throw new ArgumentException($"{values.Length} values for a tensor of shape {shape}");
        }
        var data = backend.Memory.Rent(shape.Count);
        backend.Upload(values, data);
        return new Tensor(backend, shape, data, requiresGrad, null);
    }

    /// <summary>A tensor of the innermost scope that no op has written yet, for kernels called outside the graph.</summary>
    public static Tensor Uninitialised(IBackend backend, Shape shape) => Output(backend, shape, null);

    /// <summary>A parameter: its values and its gradient are places in two buffers that live as long as the model, the second from its first use.</summary>
    internal static Tensor Parameter(IBackend backend, Shape shape, DeviceBuffer data, Lazy<DeviceBuffer> gradient) =>
        new(backend, shape, data, true, null, gradient);

    internal static Tensor Output(IBackend backend, Shape shape, Op? producer) =>
        new(backend, shape, backend.Memory.Rent(shape.Count), producer is not null, producer);

    /// <summary>The values, row by row.</summary>
    public Real[] ToArray()
    {
        var values = new Real[Shape.Count];
        Backend.Download(Data, values);
        return values;
    }

    /// <summary>The one value of a scalar.</summary>
    public Real Item() => Shape.Count == 1 ? ToArray()[0] : throw new InvalidOperationException($"a tensor of shape {Shape} has no single value");

    /// <summary>The gradient's values, row by row; zeros where no contribution has come.</summary>
    public Real[] GradToArray()
    {
        var values = new Real[Shape.Count];
        if (Grad is not null)
        {
            Backend.Download(Grad, values);
        }
        return values;
    }

    /// <summary>
    /// Reverse-mode differentiation from this scalar: every tensor that requires a gradient gets its contribution in <see cref="Grad"/>.
    /// Each op's buffers go back to the pool once its backward has consumed them, so read intermediate values before.
    /// </summary>
    /// <exception cref="InvalidOperationException">This is no scalar, or nothing it depends on requires a gradient.</exception>
    public void Backward()
    {
        if (Shape.Count != 1)
        {
            throw new InvalidOperationException($"backward starts from a scalar, not from shape {Shape}");
        }
        Backward([1]);
    }

    /// <summary>Reverse-mode differentiation from a given gradient of this tensor (a cotangent), row by row.</summary>
    public void Backward(ReadOnlySpan<Real> cotangent)
    {
        if (Producer is null)
        {
            throw new InvalidOperationException("nothing that this tensor depends on requires a gradient");
        }
        Grad = Backend.Memory.Rent(Shape.Count);
        Backend.Upload(cotangent, Grad);
        RunBackward(Producer);
    }

    /// <summary>The same from a gradient that lies on the device, which stays as it is.</summary>
    internal void Backward(DeviceBuffer gradient)
    {
        Grad = Backend.Memory.Rent(Shape.Count);
        Backend.Copy(gradient, Grad);
        RunBackward(Producer!);
    }

    /// <summary>The same values without what made them: backward ends here, with a gradient where this tensor wants one.</summary>
    internal Tensor Leaf() => new(Backend, Shape, Data, RequiresGrad, null);

    /// <summary>Whether a contribution to the gradient would take a new buffer, of the scope that is innermost then.</summary>
    internal bool GradientWillBeRented => RequiresGrad && Grad is null && _ownGradient is null;

    /// <summary>Forgets the gradient, so that the next contribution writes instead of adding. Costs nothing: no memory is touched.</summary>
    public void ClearGrad() => Grad = null;

    /// <summary>Makes a parameter a constant, whose gradient's buffer may go.</summary>
    internal void Freeze() => (RequiresGrad, Grad, _ownGradient) = (false, null, null);

    /// <summary>The buffer for a contribution to the gradient, and whether to add to it (else to write it).</summary>
    internal DeviceBuffer GradientTarget(out bool accumulate)
    {
        accumulate = Grad is not null;
        return Grad ??= _ownGradient?.Value ?? Backend.Memory.Rent(Shape.Count);
    }

    /// <summary>
    /// Takes over a whole buffer as the first contribution, where that is possible: true when taken, and then the buffer is this tensor's.
    /// </summary>
    internal bool TryAdoptGradient(DeviceBuffer gradient)
    {
        if (Grad is not null || _ownGradient is not null)
        {
            return false;
        }
        Grad = gradient;
        return true;
    }

    /// <summary>Gives the gradient and, unless kept, the values back to the pool.</summary>
    internal void Release(bool keepData, bool keepGradient)
    {
        if (Grad is not null && !keepGradient)
        {
            Backend.Memory.Return(Grad);
        }
        Grad = null;
        if (!keepData)
        {
            Backend.Memory.Return(Data);
        }
    }

    private static void RunBackward(Op last)
    {
        foreach (var op in Tape.Reversed(last))
        {
            op.RunBackward(keepOutput: op == last);
        }
    }
}
