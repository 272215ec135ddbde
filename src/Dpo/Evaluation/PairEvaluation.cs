using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>Loss, implicit rewards, margins and accuracy of a policy on pairs it does not train on, taken as one batch.</summary>
public sealed record PairEvaluation(double Loss, Interval Accuracy, IReadOnlyList<(string Name, double Value)> Metrics)
{
    public static PairEvaluation Measure(
        Transformer policy, IReadOnlyList<PreferencePair> pairs, ReferenceLogProbs reference, IPreferenceLoss loss,
        int tokenBudget = SftTask.DefaultTokenBudget, Action<int>? done = null, CancellationToken cancellation = default)
    {
        var policyLogProbs = ReferenceLogProbs.OfPolicy(policy, pairs, reference, loss, tokenBudget, done, cancellation);
        using var step = new StepScope(policy.Backend, gradients: false);
        var value = loss.PerPair(ReferenceLogProbs.Batch(policy.Backend, policyLogProbs, reference, PairLengths.Of(pairs))).Mean().Item();
        var metrics = new PreferenceMetrics(loss.Beta);
        metrics.Add(policyLogProbs.Chosen, policyLogProbs.Rejected, reference.Chosen, reference.Rejected);
        return new PairEvaluation(value, Statistics.Proportion(metrics.Accuracy * pairs.Count, pairs.Count), [.. metrics.Means()]);
    }
}
