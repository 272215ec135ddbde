using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Dpo;

/// <summary>One pass of a model over pairs: their log-probs and, where asked for, more.</summary>
/// <param name="Sums">log pi of both completions.</param>
/// <param name="Prompts">log pi of the prompts after their first token, [pairs]; or null.</param>
/// <param name="Confidence"><see cref="TokenConfidence"/> of all chosen, then of all rejected completions; or null.</param>
public sealed record PairPass(PairLogProbs Sums, Tensor? Prompts = null, Real[]? Confidence = null)
{
    /// <param name="inputs">Prompts and Confidence are heeded, the rest is not this pass's business.</param>
    /// <param name="tailWeight">Weight of tokens past the length that both completions reach: see <see cref="LengthDesensitizedLoss"/>.</param>
    public static PairPass Of(Transformer model, IReadOnlyList<PreferencePair> pairs, LossInputs inputs = LossInputs.None, double tailWeight = 1)
    {
        var packed = PreferencePairs.Pack(model.Backend, pairs);
        if ((inputs & (LossInputs.Prompts | LossInputs.Confidence)) == 0 && tailWeight == 1)
        {
            return new PairPass(PairLogProbs.Of(model, packed));
        }
        var hidden = model.Hidden(packed);
        var tokens = LinearLogProb(hidden, model.Head, packed.Rows, packed.Targets);
        var weighted = tailWeight == 1 ? tokens : tokens * TailWeights(model.Backend, pairs, tailWeight);
        return new PairPass(
            PairLogProbs.Halves(SegmentSum(weighted, packed.Offsets)),
            inputs.HasFlag(LossInputs.Prompts) ? PromptLogProbs(model, packed, hidden) : null,
            inputs.HasFlag(LossInputs.Confidence) ? TokenConfidence.Of(model, packed, hidden, tokens) : null);
    }

    private static Tensor PromptLogProbs(Transformer model, PackedBatch packed, Tensor hidden)
    {
        var (rows, targets, offsets) = packed.PromptPredictions(model.Backend);
        return SegmentSum(LinearLogProb(hidden, model.Head, rows, targets), offsets);
    }

    // 1 for the tokens of a completion up to the length of the shorter one, the tail's weight beyond; all chosen before all rejected.
    private static Tensor TailWeights(IBackend backend, IReadOnlyList<PreferencePair> pairs, double tailWeight)
    {
        Real[] weights = [.. pairs.SelectMany(p => Of(p, p.Chosen)), .. pairs.SelectMany(p => Of(p, p.Rejected))];
        return Tensor.From(backend, Shape.Vector(weights.Length), weights);

        IEnumerable<Real> Of(PreferencePair pair, int[] completion)
        {
            var shared = Math.Min(pair.Chosen.Length, pair.Rejected.Length);
            return completion.Select((_, i) => i < shared ? 1 : (Real)tailWeight);
        }
    }
}
