using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>A model's log-probs of each pair's completions, computed once: the reference's, or a policy's that is not being trained.</summary>
public sealed record ReferenceLogProbs(Real[] Chosen, Real[] Rejected) : IReferenceSource
{
    /// <summary>Those of the prompts after their first token, where asked for.</summary>
    public Real[]? Prompts { get; init; }

    /// <summary><see cref="TokenConfidence"/> of the completions, where asked for.</summary>
    public (Real[] Chosen, Real[] Rejected)? Confidence { get; init; }

    /// <summary>The mismatched pairs with their log-probs, for losses that ask for them.</summary>
    public MismatchedPairs? Mismatched { get; init; }

    /// <summary>Runs a model over all pairs without gradients.</summary>
    /// <param name="inputs">Prompts and Confidence are heeded; mismatched completions are pairs of their own.</param>
    /// <param name="tailWeight">See <see cref="IPreferenceLoss.TailWeight"/>.</param>
    public static ReferenceLogProbs Compute(
        Transformer reference, IReadOnlyList<PreferencePair> pairs, int tokenBudget = SftTask.DefaultTokenBudget, Action<int>? done = null,
        CancellationToken cancellation = default, LossInputs inputs = LossInputs.None, double tailWeight = 1)
    {
        var (chosen, rejected) = (new Real[pairs.Count], new Real[pairs.Count]);
        var prompts = inputs.HasFlag(LossInputs.Prompts) ? new Real[pairs.Count] : null;
        (Real[] Chosen, Real[] Rejected)? confidence = inputs.HasFlag(LossInputs.Confidence) ? (new Real[pairs.Count], new Real[pairs.Count]) : null;
        var finished = 0;
        foreach (var (from, micro) in MicroBatches.Of(pairs, PreferencePairs.Tokens, tokenBudget))
        {
            cancellation.ThrowIfCancellationRequested();
            using var step = new StepScope(reference.Backend, gradients: false);
            var pass = PairPass.Of(reference, micro, inputs, tailWeight);
            pass.Sums.Chosen.ToArray().CopyTo(chosen, from);
            pass.Sums.Rejected.ToArray().CopyTo(rejected, from);
            pass.Prompts?.ToArray().CopyTo(prompts!, from);
            pass.Confidence?.AsSpan(0, micro.Length).CopyTo(confidence!.Value.Chosen.AsSpan(from));
            pass.Confidence?.AsSpan(micro.Length).CopyTo(confidence!.Value.Rejected.AsSpan(from));
            done?.Invoke(finished += micro.Length);
        }
        return new ReferenceLogProbs(chosen, rejected) { Prompts = prompts, Confidence = confidence };
    }

    /// <summary>All that a loss asks for of the policy, given what the reference has.</summary>
    public static ReferenceLogProbs OfPolicy(
        Transformer policy, IReadOnlyList<PreferencePair> pairs, ReferenceLogProbs reference, IPreferenceLoss loss,
        int tokenBudget = SftTask.DefaultTokenBudget, Action<int>? done = null, CancellationToken cancellation = default) =>
        Compute(policy, pairs, tokenBudget, done, cancellation, loss.Inputs, loss.TailWeight) with
        {
            Mismatched = reference.Mismatched?.Under(policy, tokenBudget, cancellation),
        };

    /// <summary>All that a loss asks for of the reference.</summary>
    /// <param name="positions">The shorter context of policy and reference.</param>
    public static ReferenceLogProbs OfReference(
        Transformer reference, IReadOnlyList<PreferencePair> pairs, IPreferenceLoss loss, int positions,
        int tokenBudget = SftTask.DefaultTokenBudget, Action<int>? done = null, CancellationToken cancellation = default) =>
        Compute(reference, pairs, tokenBudget, done, cancellation, tailWeight: loss.TailWeight) with
        {
            Mismatched = loss.Inputs.HasFlag(LossInputs.Mismatched)
                ? MismatchedPairs.Under(reference, MismatchedPairs.Of(pairs, positions), tokenBudget, cancellation)
                : null,
        };

    /// <summary>Those of some pairs.</summary>
    public ReferenceLogProbs At(IReadOnlyList<int> pairs)
    {
        return new ReferenceLogProbs(Take(Chosen), Take(Rejected))
        {
            Prompts = Prompts is null ? null : Take(Prompts),
            Confidence = Confidence is var (chosen, rejected) ? (Take(chosen), Take(rejected)) : null,
            Mismatched = Mismatched?.At(pairs),
        };

        Real[] Take(Real[] values) => [.. pairs.Select(i => values[i])];
    }

    public PairLogProbs ToTensors(IBackend backend, bool requiresGrad = false) => PairLogProbs.Of(backend, Chosen, Rejected, requiresGrad);

    /// <summary>A batch of log-probs computed before.</summary>
    /// <param name="requiresGrad">Whether the policy's log-probs are what a gradient is wanted for.</param>
    public static PreferenceBatch Batch(
        IBackend backend, ReferenceLogProbs policy, ReferenceLogProbs reference, PairLengths lengths, bool requiresGrad = false) =>
        new(policy.ToTensors(backend, requiresGrad), reference.ToTensors(backend))
        {
            Lengths = lengths,
            Prompts = policy.Prompts is null ? null : Tensor.From(backend, Shape.Vector(policy.Prompts.Length), policy.Prompts, requiresGrad),
            Confidence = policy.Confidence is var (chosen, rejected) ? PairLogProbs.Of(backend, chosen, rejected) : null,
            MismatchedRatios = policy.Mismatched?.Ratios(reference.Mismatched),
        };
}
