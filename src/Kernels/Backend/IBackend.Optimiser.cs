namespace TinyDpo.Kernels;

/// <summary>The constants of one AdamW update (Loshchilov and Hutter 2019). Corrections are 1 - beta^step.</summary>
public readonly record struct AdamWStep(
    Real LearningRate, Real Beta1, Real Beta2, Real Epsilon, Real WeightDecay, Real Correction1, Real Correction2);

public partial interface IBackend
{
    /// <summary>The sum of squares of x in double, in an order that depends on its length alone. NaN or infinite where x is.</summary>
    double SumOfSquares(DeviceBuffer x);

    /// <summary>One AdamW update over the whole parameter buffer; gradients are first multiplied by <paramref name="gradientScale"/>.</summary>
    void AdamW(DeviceBuffer parameter, DeviceBuffer gradient, Real gradientScale, DeviceBuffer m, DeviceBuffer v, AdamWStep step);

    /// <summary>velocity = momentum velocity + gradient; parameter -= learningRate velocity, as PyTorch's SGD.</summary>
    void Sgd(DeviceBuffer parameter, DeviceBuffer gradient, Real gradientScale, DeviceBuffer? velocity, Real learningRate, Real momentum);

    /// <summary>square = alpha square + (1 - alpha) g^2; parameter -= learningRate g / (sqrt(square) + epsilon), as PyTorch's RMSprop.</summary>
    void RmsProp(
        DeviceBuffer parameter, DeviceBuffer gradient, Real gradientScale, DeviceBuffer square, Real learningRate, Real alpha, Real epsilon);
}
