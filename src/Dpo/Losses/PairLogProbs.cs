using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>
/// A number for the chosen and one for the rejected completion of each pair, [pairs] each: log pi(y_w | x) and log pi(y_l | x), sums over
/// completion tokens, and what losses make of them.
/// </summary>
public readonly record struct PairLogProbs(Tensor Chosen, Tensor Rejected)
{
    /// <summary>Runs a model over packed pairs. Policy and reference take this same path, so equal weights give equal bits.</summary>
    public static PairLogProbs Of(Transformer model, PackedBatch pairs) => Halves(model.SequenceLogProbs(pairs));

    /// <summary>Log-probs computed before, as constants.</summary>
    public static PairLogProbs Of(IBackend backend, ReadOnlySpan<Real> chosen, ReadOnlySpan<Real> rejected, bool requiresGrad = false) =>
        new(Tensor.From(backend, Shape.Vector(chosen.Length), chosen, requiresGrad),
            Tensor.From(backend, Shape.Vector(rejected.Length), rejected, requiresGrad));

    /// <summary>Numbers of sequences [2 pairs], all chosen before all rejected.</summary>
    internal static PairLogProbs Halves(Tensor sequences)
    {
        var count = sequences.Shape.Count / 2;
        return new PairLogProbs(sequences.Slice(0, count), sequences.Slice(count, count));
    }
}
