using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>log pi_ref of each pair's completions, computed once.</summary>
public sealed record ReferenceLogProbs(Real[] Chosen, Real[] Rejected)
{
    /// <summary>Runs the reference over all pairs without gradients.</summary>
    public static ReferenceLogProbs Compute(
        Transformer reference, IReadOnlyList<PreferencePair> pairs, int tokenBudget = SftTask.DefaultTokenBudget, Action<int>? done = null,
        CancellationToken cancellation = default)
    {
        var chosen = new Real[pairs.Count];
        var rejected = new Real[pairs.Count];
        var finished = 0;
        foreach (var micro in MicroBatches.Split([.. Enumerable.Range(0, pairs.Count)], i => pairs[i].Tokens(), tokenBudget))
        {
            cancellation.ThrowIfCancellationRequested();
            using var step = new StepScope(reference.Backend, gradients: false);
            var logProbs = PairLogProbs.Of(reference, PreferencePairs.Pack(reference.Backend, [.. micro.Select(i => pairs[i])]));
            logProbs.Chosen.ToArray().CopyTo(chosen, micro[0]);
            logProbs.Rejected.ToArray().CopyTo(rejected, micro[0]);
            done?.Invoke(finished += micro.Length);
        }
        return new ReferenceLogProbs(chosen, rejected);
    }
}

/// <summary>Direct Preference Optimization on a set of pairs whose reference log-probs are known.</summary>
public sealed class DpoTask(
    Transformer policy, IReadOnlyList<PreferencePair> pairs, ReferenceLogProbs reference, DpoLoss loss,
    int tokenBudget = SftTask.DefaultTokenBudget) : ITrainingTask
{
    public int Examples => pairs.Count;

    public BatchResult Accumulate(IReadOnlyList<int> batch)
    {
        var metrics = new PreferenceMetrics(loss.Beta);
        var tokens = 0;
        double total = 0;
        foreach (var micro in MicroBatches.Split(batch, i => pairs[i].Tokens(), tokenBudget))
        {
            using var step = new StepScope(policy.Backend);
            var logProbs = PairLogProbs.Of(policy, PreferencePairs.Pack(policy.Backend, [.. micro.Select(i => pairs[i])]));
            var fixedLogProbs = PairLogProbs.Of(
                policy.Backend, [.. micro.Select(i => reference.Chosen[i])], [.. micro.Select(i => reference.Rejected[i])]);
            var share = loss.PerPair(logProbs, fixedLogProbs).Sum() / batch.Count;
            total += share.Item();
            metrics.Add(logProbs, fixedLogProbs);
            tokens += micro.Sum(i => pairs[i].Tokens());
            share.Backward();
        }
        return new BatchResult([("loss", total), .. metrics.Means()], tokens);
    }
}

/// <summary>Small things that pairs are asked for.</summary>
public static class PreferencePairs
{
    /// <summary>Prompt, chosen and rejected tokens; the prompt counts once, since it is run once.</summary>
    public static int Tokens(this PreferencePair pair) => pair.Prompt.Length + pair.Chosen.Length + pair.Rejected.Length;

    public static PackedBatch Pack(IBackend backend, IReadOnlyList<PreferencePair> pairs) =>
        PackedBatch.Pack(backend, [.. pairs.Select(static p => new PromptGroup(p.Prompt, [p.Chosen, p.Rejected]))]);
}
