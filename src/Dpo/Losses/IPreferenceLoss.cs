using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>What a loss asks for besides the log-probs of completions and their lengths; each costs work that others are spared.</summary>
[Flags]
public enum LossInputs
{
    None = 0,

    /// <summary>log pi(prompt), from the prompt's second token on, under the policy.</summary>
    Prompts = 1,

    /// <summary>How sure the policy is of its tokens: see <see cref="TokenConfidence"/>.</summary>
    Confidence = 2,

    /// <summary>Both models' log-probs of other pairs' completions after this pair's prompt: see <see cref="MismatchedPairs"/>.</summary>
    Mismatched = 4,

    /// <summary>A pair's loss depends on the other pairs of its batch, which therefore must not be cut into micro-batches.</summary>
    WholeBatch = 8,
}

/// <summary>A loss over preference pairs. To write one, see "Adding a loss" in CONTRIBUTING.md; docs/losses.md lists all.</summary>
public interface IPreferenceLoss
{
    /// <summary>Turns log-ratios into implicit rewards: beta log(pi / pi_ref). 1 where the loss has no beta.</summary>
    double Beta { get; }

    /// <summary>The loss of a pair where policy and reference agree, or null where that depends on the pair.</summary>
    double? AtReference { get; }

    LossInputs Inputs => LossInputs.None;

    /// <summary>Whether the gradient depends on the reference's log-probs.</summary>
    bool UsesReference => true;

    /// <summary>Whether the loss is one of completions, so that rows may hold a single one: see <see cref="PreferencePair.IsUnpaired"/>.</summary>
    bool TakesUnpaired => false;

    /// <summary>
    /// The weight of the log-probs of tokens past the length that both completions reach: 1 for all losses but those under
    /// <see cref="LengthDesensitizedLoss"/>.
    /// </summary>
    double TailWeight => 1;

    /// <summary>The loss of each pair, [pairs]; their mean is the loss of the batch.</summary>
    Tensor PerPair(PreferenceBatch batch);
}
