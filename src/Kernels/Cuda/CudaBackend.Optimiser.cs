using System.Runtime.InteropServices;

namespace TinyDpo.Kernels;

public sealed unsafe partial class CudaBackend
{
    public double SumOfSquares(DeviceBuffer x)
    {
        if (x.Length == 0)
        {
            return 0;
        }
        var blocks = (int)Blocks(x.Length, SumBlock);
        using var partial = Temporary(checked(2 * blocks));
        Launch("sum_of_squares", Grid.Of(blocks, BlockThreads), In(x, x.Length), x.Length, Out(partial.Buffer, 2L * blocks));
        var values = new double[blocks];
        DownloadBytes(partial.Buffer.Address, MemoryMarshal.AsBytes(values.AsSpan()));
        double total = 0;
        foreach (var value in values)
        {
            total += value;
        }
        return total;
    }

    // The factors are those of the CPU, in its order of operations.
    public void AdamW(DeviceBuffer parameter, DeviceBuffer gradient, Real gradientScale, DeviceBuffer m, DeviceBuffer v, AdamWStep step)
    {
        var n = parameter.Length;
        RequireLength(gradient, n);
        RequireLength(m, n);
        RequireLength(v, n);
        var keep = 1 - (step.LearningRate * step.WeightDecay);
        var rate = step.LearningRate / step.Correction1;
        var root = 1 / Real.Sqrt(step.Correction2);
        LaunchElements(
            "adamw", n, InOut(parameter, n), In(gradient, n), gradientScale, InOut(m, n), InOut(v, n), n, keep, rate, root, step.Beta1,
            1 - step.Beta1, step.Beta2, 1 - step.Beta2, step.Epsilon);
    }

    public void Sgd(DeviceBuffer parameter, DeviceBuffer gradient, Real gradientScale, DeviceBuffer? velocity, Real learningRate, Real momentum)
    {
        var n = parameter.Length;
        RequireLength(gradient, n);
        if (velocity is null)
        {
            LaunchElements("sgd", n, InOut(parameter, n), In(gradient, n), gradientScale, n, learningRate);
            return;
        }
        RequireLength(velocity, n);
        LaunchElements(
            "sgd_momentum", n, InOut(parameter, n), In(gradient, n), gradientScale, InOut(velocity, n), n, learningRate, momentum);
    }

    public void RmsProp(
        DeviceBuffer parameter, DeviceBuffer gradient, Real gradientScale, DeviceBuffer square, Real learningRate, Real alpha, Real epsilon)
    {
        var n = parameter.Length;
        RequireLength(gradient, n);
        RequireLength(square, n);
        LaunchElements(
            "rmsprop", n, InOut(parameter, n), In(gradient, n), gradientScale, InOut(square, n), n, learningRate, alpha, 1 - alpha, epsilon);
    }
}
