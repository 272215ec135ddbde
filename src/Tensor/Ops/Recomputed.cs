using TinyDpo.Kernels;

namespace TinyDpo.Tensors;

/// <summary>
/// y = f(x), of which x and y alone are kept: backward computes f again, records it, and goes back through it at once. Known as activation
/// or gradient checkpointing (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost").
/// </summary>
/// <param name="x">What f is computed from; its values must stay until backward.</param>
/// <param name="parameters">What f holds besides x and may want a gradient.</param>
/// <param name="outputShape">That of f(x).</param>
/// <param name="f">Gives the same bits each time.</param>
internal sealed class RecomputedOp(Tensor x, Tensor[] parameters, Shape outputShape, Func<Tensor, Tensor> f) : Op([x, .. parameters])
{
    protected override Shape OutputShape => outputShape;

    protected override void Forward(DeviceBuffer output)
    {
        using var pass = new StepScope(Backend, gradients: false);
        var y = f(x);
        Require(y.Shape == outputShape, $"recomputed: an output {y.Shape} where {outputShape} was announced");
        Backend.Copy(y.Data, output);
    }

    // f's own ops give the parameters their contributions, and x by way of a leaf, where this inner backward ends.
    protected override void Backward(DeviceBuffer dOutput)
    {
        var withoutGradient = Array.FindAll(parameters, static p => p.GradientWillBeRented);
        using var again = new StepScope(Backend);
        var leaf = x.Leaf();
        f(leaf).Backward(dOutput);
        foreach (var gradient in withoutGradient.Select(static p => p.Grad).OfType<DeviceBuffer>())
        {
            again.MoveToParent(gradient);
        }
        if (leaf.Grad is { } dLeaf)
        {
            PassToX(dLeaf, again);
        }
    }

    private void PassToX(DeviceBuffer dLeaf, StepScope owner)
    {
        if (x.TryAdoptGradient(dLeaf))
        {
            owner.MoveToParent(dLeaf);
        }
        else if (Wants(x, out var dx, out var accumulate))
        {
            Backend.Affine(dLeaf, 1, 0, dx, accumulate);
        }
    }
}
