using System.Runtime.CompilerServices;
using TinyDpo.Kernels;

namespace TinyDpo.Tensors;

/// <summary>
/// One differentiable operation: its forward and its backward side by side. There is no op without a backward. To write one, see
/// "Adding an op" in CONTRIBUTING.md.
/// </summary>
public abstract class Op(params Tensor[] inputs)
{
    private Tensor? _output;
    private bool _outputGradientPassedOn;

    protected IBackend Backend { get; } = inputs[0].Backend;

    protected abstract Shape OutputShape { get; }

    /// <summary>Whether something the inputs depend on wants a gradient and the scope records for it.</summary>
    protected bool Differentiated { get; private set; }

    /// <summary>The op's own output, for a backward that is cheaper with it.</summary>
    protected DeviceBuffer OutputData => _output!.Data;

    internal ReadOnlySpan<Tensor> Inputs => inputs;

    /// <summary>The place in the order in which differentiated ops ran: backward goes from high to low.</summary>
    internal long Order { get; private set; }

    /// <summary>Runs the forward pass and gives the output tensor, which remembers this op where a gradient will be wanted.</summary>
    public Tensor Apply()
    {
        Differentiated = Array.Exists(inputs, static input => input.RequiresGrad) && StepScope.RecordsGradients(Backend);
        Order = Differentiated ? Tape.NextOrder() : 0;
        var output = Tensor.Output(Backend, OutputShape, Differentiated ? this : null);
        _output = Differentiated ? output : null;
        Forward(output.Data);
        if (!Differentiated)
        {
            ReleaseSaved();
        }
        return output;
    }

    internal void RunBackward(bool keepOutput)
    {
        if (_output?.Grad is { } dOutput)
        {
            Backward(dOutput);
        }
        ReleaseSaved();
        _output?.Release(keepOutput, _outputGradientPassedOn);
    }

    /// <summary>Computes the output from the inputs.</summary>
    protected abstract void Forward(DeviceBuffer output);

    /// <summary>Gives each input that wants it its gradient's contribution: the transposed Jacobian times <paramref name="dOutput"/>.</summary>
    protected abstract void Backward(DeviceBuffer dOutput);

    /// <summary>Gives back what <see cref="Save"/> rented. Ops with saved buffers override it.</summary>
    protected virtual void ReleaseSaved()
    {
    }

    /// <summary>True when <paramref name="input"/> wants a gradient: then <paramref name="gradient"/> is where its contribution goes.</summary>
    protected static bool Wants(Tensor input, out DeviceBuffer gradient, out bool accumulate)
    {
        if (!input.RequiresGrad)
        {
            gradient = null!;
            accumulate = false;
            return false;
        }
        gradient = input.GradientTarget(out accumulate);
        return true;
    }

    /// <summary>Makes dOutput itself the input's gradient, where it is the first contribution: saves a copy. At most one input may take it.</summary>
    protected bool TryPassOn(Tensor input, DeviceBuffer dOutput)
    {
        if (_outputGradientPassedOn || !input.RequiresGrad || !input.TryAdoptGradient(dOutput))
        {
            return false;
        }
        _outputGradientPassedOn = true;
        return true;
    }

    /// <summary>A buffer for what backward needs besides inputs and output.</summary>
    protected DeviceBuffer Save(int length) => Backend.Memory.Rent(length);

    protected void Release(DeviceBuffer? saved)
    {
        if (saved is not null)
        {
            Backend.Memory.Return(saved);
        }
    }

    /// <exception cref="ArgumentException">The condition does not hold; the message is put together only then.</exception>
    protected static void Require(bool condition, [InterpolatedStringHandlerArgument(nameof(condition))] FailureMessage message)
    {
        if (!condition)
        {
            throw new ArgumentException(message.Text());
        }
    }
}
