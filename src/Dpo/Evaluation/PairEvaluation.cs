using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>Loss, implicit rewards, margins and accuracy of a policy on pairs it does not train on, taken as one batch.</summary>
/// <param name="Loss">The mean loss.</param>
/// <param name="Accuracy">That of the implicit rewards; null where every row is unpaired.</param>
/// <param name="Metrics">As training logs them.</param>
public sealed record PairEvaluation(double Loss, Interval? Accuracy, IReadOnlyList<(string Name, double Value)> Metrics)
{
    public static PairEvaluation Measure(
        Transformer policy, IReadOnlyList<PreferencePair> pairs, ReferenceLogProbs reference, IPreferenceLoss loss,
        int tokenBudget = SftTask.DefaultTokenBudget, Action<int>? done = null, CancellationToken cancellation = default)
    {
        var policyLogProbs = ReferenceLogProbs.OfPolicy(policy, pairs, reference, loss, tokenBudget, done, cancellation);
        using var step = new StepScope(policy.Backend, gradients: false);
        var lengths = PairLengths.Of(pairs);
        var value = loss.PerPair(ReferenceLogProbs.Batch(policy.Backend, policyLogProbs, reference, lengths)).Mean().Item();
        var metrics = new PreferenceMetrics(loss.Beta);
        metrics.Add(policyLogProbs.Chosen, policyLogProbs.Rejected, reference.Chosen, reference.Rejected, lengths);
        return new PairEvaluation(
            value, metrics.Pairs > 0 ? Statistics.Proportion(metrics.Accuracy * metrics.Pairs, metrics.Pairs) : null, [.. metrics.Means()]);
    }
}
