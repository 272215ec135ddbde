using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>How a reference follows the policy (Gorbatovski et al. 2024, TR-DPO): every Steps updates it becomes Mixup policy + (1 - Mixup) reference.</summary>
/// <param name="Mixup">The policy's share, above 0, at most 1; 1 is the paper's hard update. TRL's ref_model_mixup_alpha.</param>
/// <param name="Steps">Updates of the policy between those of the reference. TRL's ref_model_sync_steps.</param>
public sealed record ReferenceSync(double Mixup = ReferenceSync.DefaultMixup, int Steps = ReferenceSync.DefaultSteps)
{
    public const double DefaultMixup = 0.6;

    public const int DefaultSteps = 512;

    public double Mixup { get; } = Mixup is > 0 and <= 1 ? Mixup : throw new ArgumentOutOfRangeException(nameof(Mixup), Mixup, "must lie in (0, 1]");

    public int Steps { get; } = Steps > 0 ? Steps : throw new ArgumentOutOfRangeException(nameof(Steps), Steps, "must be above 0");
}

/// <summary>A reference that follows the policy: its log-probs are computed anew for each batch.</summary>
/// <param name="policy">The model in training.</param>
/// <param name="reference">Another model of the same parameters, changed in place.</param>
/// <param name="pairs">All pairs of the run.</param>
/// <param name="loss">Says what is asked for of the reference.</param>
/// <param name="sync">When and how far it follows.</param>
/// <param name="positions">The shorter context of policy and reference.</param>
/// <param name="tokenBudget">The most tokens run at a time.</param>
public sealed class MovingReference(
    Transformer policy, Transformer reference, IReadOnlyList<PreferencePair> pairs, IPreferenceLoss loss, ReferenceSync sync, int positions,
    int tokenBudget = SftTask.DefaultTokenBudget) : IReferenceSource
{
    private readonly IReadOnlyList<PreferencePair>? _mismatched = loss.Inputs.HasFlag(LossInputs.Mismatched) ? MismatchedPairs.Of(pairs, positions) : null;

    /// <summary>The reference as it is now.</summary>
    public Transformer Model => reference;

    public IReadOnlyList<(string Name, DeviceBuffer Values)> State => [("reference", reference.Weights.Values)];

    public ReferenceLogProbs At(IReadOnlyList<int> batch) =>
        ReferenceLogProbs.Compute(reference, [.. batch.Select(i => pairs[i])], tokenBudget, tailWeight: loss.TailWeight) with
        {
            Mismatched = _mismatched is null
                ? null
                : MismatchedPairs.Under(reference, [.. batch.Select(i => _mismatched[i])], tokenBudget),
        };

    /// <summary>Its log-probs of other pairs, as it is now.</summary>
    public ReferenceLogProbs Of(IReadOnlyList<PreferencePair> others, CancellationToken cancellation) =>
        ReferenceLogProbs.OfReference(reference, others, loss, positions, tokenBudget, cancellation: cancellation);

    public void Updated(int steps)
    {
        if (steps % sync.Steps != 0)
        {
            return;
        }
        var backend = policy.Backend;
        var (from, to) = (policy.Weights.Values, reference.Weights.Values);
        using var scope = new StepScope(backend, gradients: false);
        var mixed = backend.Memory.Rent(to.Length);
        backend.Affine(from, (Real)sync.Mixup, 0, mixed, accumulate: false);
        backend.Affine(to, (Real)(1 - sync.Mixup), 0, mixed, accumulate: true);
        backend.Copy(mixed, to);
    }
}
