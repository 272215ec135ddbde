using TinyDpo.Kernels;

namespace TinyDpo.Tensors;

/// <summary>Changes all parameters by their gradients, in one pass over the flat buffers.</summary>
public abstract class Optimiser(ParameterSet parameters)
{
    /// <summary>Updates made so far.</summary>
    public int Steps { get; set; }

    /// <summary>What must be saved to go on with the same bits: named buffers of the size of the parameters.</summary>
    public abstract IReadOnlyList<(string Name, DeviceBuffer Values)> State { get; }

    protected ParameterSet Parameters { get; } = parameters;

    /// <summary>One update. The gradients are multiplied by <paramref name="gradientScale"/> first, which is how clipping is done.</summary>
    public void Step(double learningRate, double gradientScale = 1)
    {
        Parameters.CompleteGradients();
        Steps++;
        Update((Real)learningRate, (Real)gradientScale);
    }

    protected abstract void Update(Real learningRate, Real gradientScale);

    protected static DeviceBuffer NewState(ParameterSet parameters)
    {
        var state = parameters.Backend.Memory.Allocate(parameters.Values.Length);
        parameters.Backend.Fill(state, 0);
        return state;
    }

    /// <summary>Gives the state's buffers back.</summary>
    public void Free()
    {
        foreach (var (_, values) in State)
        {
            Parameters.Backend.Memory.Return(values);
        }
    }
}

/// <summary>AdamW (Loshchilov and Hutter 2019), with PyTorch's defaults; the decay is decoupled and on every tensor.</summary>
public sealed class AdamW : Optimiser
{
    private readonly double _beta1;
    private readonly double _beta2;
    private readonly double _epsilon;
    private readonly double _weightDecay;
    private readonly DeviceBuffer _m;
    private readonly DeviceBuffer _v;

    public AdamW(ParameterSet parameters, double beta1 = 0.9, double beta2 = 0.999, double epsilon = 1e-8, double weightDecay = 0.01)
        : base(parameters)
    {
        (_beta1, _beta2, _epsilon, _weightDecay) = (beta1, beta2, epsilon, weightDecay);
        (_m, _v) = (NewState(parameters), NewState(parameters));
    }

    public override IReadOnlyList<(string Name, DeviceBuffer Values)> State => [("exp_avg", _m), ("exp_avg_sq", _v)];

    // The corrections follow the betas that the kernel averages with: 1 - 0.999 in float is off by 1.3e-5 from 1 - 0.999 in double.
    protected override void Update(Real learningRate, Real gradientScale) =>
        Parameters.Backend.AdamW(Parameters.Values, Parameters.Gradients, gradientScale, _m, _v, new AdamWStep(
            learningRate, (Real)_beta1, (Real)_beta2, (Real)_epsilon, (Real)_weightDecay,
            (Real)(1 - Math.Pow((Real)_beta1, Steps)), (Real)(1 - Math.Pow((Real)_beta2, Steps))));
}

/// <summary>Stochastic gradient descent, with PyTorch's momentum.</summary>
public sealed class Sgd(ParameterSet parameters, double momentum = 0) : Optimiser(parameters)
{
    private readonly DeviceBuffer? _velocity = momentum == 0 ? null : NewState(parameters);

    public override IReadOnlyList<(string Name, DeviceBuffer Values)> State => _velocity is null ? [] : [("momentum_buffer", _velocity)];

    protected override void Update(Real learningRate, Real gradientScale) =>
        Parameters.Backend.Sgd(Parameters.Values, Parameters.Gradients, gradientScale, _velocity, learningRate, (Real)momentum);
}

/// <summary>RMSprop (Hinton 2012), with PyTorch's defaults; the paper's optimiser for DPO.</summary>
public sealed class RmsProp(ParameterSet parameters, double alpha = 0.99, double epsilon = 1e-8) : Optimiser(parameters)
{
    private readonly DeviceBuffer _square = NewState(parameters);

    public override IReadOnlyList<(string Name, DeviceBuffer Values)> State => [("square_avg", _square)];

    protected override void Update(Real learningRate, Real gradientScale) =>
        Parameters.Backend.RmsProp(
            Parameters.Values, Parameters.Gradients, gradientScale, _square, learningRate, (Real)alpha, (Real)epsilon);
}
