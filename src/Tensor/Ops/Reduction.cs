using TinyDpo.Kernels;

namespace TinyDpo.Tensors;

/// <summary>scale times the sum of all elements: a scalar. With scale 1/n it is the mean.</summary>
internal sealed class SumOp(Tensor x, Real scale) : Op(x)
{
    protected override Shape OutputShape => Shape.Scalar;

    protected override void Forward(DeviceBuffer output) => Backend.Sum(x.Data, scale, output);

    protected override void Backward(DeviceBuffer dOutput)
    {
        if (Wants(x, out var dx, out var accumulate))
        {
            Backend.SumBackward(dOutput, scale, dx, accumulate);
        }
    }
}

/// <summary>
/// y[s] = the sum of x[offsets[s] .. offsets[s + 1]): x [n], offsets [segments + 1] ascending from 0 to n, y [segments]. Log-probs of
/// tokens become log-probs of sequences.
/// </summary>
internal sealed class SegmentSumOp(Tensor x, IndexBuffer offsets) : Op(x)
{
    protected override Shape OutputShape => Shape.Vector(offsets.Length - 1);

    protected override void Forward(DeviceBuffer output) => Backend.SegmentSum(x.Data, offsets, output);

    protected override void Backward(DeviceBuffer dOutput)
    {
        if (Wants(x, out var dx, out var accumulate))
        {
            Backend.SegmentSumBackward(dOutput, offsets, dx, accumulate);
        }
    }
}
