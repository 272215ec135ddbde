using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>log pi(y_w | x) and log pi(y_l | x) of a batch of pairs, [pairs] each: sums over completion tokens.</summary>
public readonly record struct PairLogProbs(Tensor Chosen, Tensor Rejected)
{
    /// <summary>Runs a model over packed pairs. Policy and reference take this same path, so equal weights give equal bits.</summary>
    public static PairLogProbs Of(Transformer model, PackedBatch pairs)
    {
        var sums = model.SequenceLogProbs(pairs);
        var count = pairs.Sequences / 2;
        return new PairLogProbs(sums.Slice(0, count), sums.Slice(count, count));
    }

    /// <summary>Log-probs computed before, as constants.</summary>
    public static PairLogProbs Of(IBackend backend, ReadOnlySpan<Real> chosen, ReadOnlySpan<Real> rejected, bool requiresGrad = false) =>
        new(Tensor.From(backend, Shape.Vector(chosen.Length), chosen, requiresGrad),
            Tensor.From(backend, Shape.Vector(rejected.Length), rejected, requiresGrad));
}
