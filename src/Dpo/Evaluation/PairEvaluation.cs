using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>Loss, implicit rewards, margins and accuracy of a policy on pairs it does not train on.</summary>
public sealed record PairEvaluation(double Loss, Interval Accuracy, IReadOnlyList<(string Name, double Value)> Metrics)
{
    public static PairEvaluation Measure(
        Transformer policy, IReadOnlyList<PreferencePair> pairs, ReferenceLogProbs reference, DpoLoss loss,
        int tokenBudget = SftTask.DefaultTokenBudget, Action<int>? done = null, CancellationToken cancellation = default)
    {
        var policyLogProbs = ReferenceLogProbs.Compute(policy, pairs, tokenBudget, done, cancellation);
        using var step = new StepScope(policy.Backend, gradients: false);
        var value = loss.Mean(
            PairLogProbs.Of(policy.Backend, policyLogProbs.Chosen, policyLogProbs.Rejected),
            PairLogProbs.Of(policy.Backend, reference.Chosen, reference.Rejected)).Item();
        var metrics = new PreferenceMetrics(loss.Beta);
        metrics.Add(policyLogProbs.Chosen, policyLogProbs.Rejected, reference.Chosen, reference.Rejected);
        return new PairEvaluation(value, Statistics.Proportion(metrics.Accuracy * pairs.Count, pairs.Count), [.. metrics.Means()]);
    }
}
