using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>Preference learning on a set of pairs against a reference, with DPO's loss or another.</summary>
public sealed class DpoTask(
    Transformer policy, IReadOnlyList<PreferencePair> pairs, IReferenceSource reference, IPreferenceLoss loss,
    int tokenBudget = SftTask.DefaultTokenBudget) : ITrainingTask
{
    public int Examples => pairs.Count;

    public IReadOnlyList<(string Name, DeviceBuffer Values)> State => reference.State;

    public void Updated(int steps) => reference.Updated(steps);

    public int Tokens(int example) => pairs[example].Tokens();

    public BatchResult Accumulate(IReadOnlyList<int> batch)
    {
        PreferencePair[] all = [.. batch.Select(i => pairs[i])];
        (int From, PreferencePair[] Pairs)[] parts = [.. MicroBatches.Of(all, PreferencePairs.Tokens, tokenBudget)];
        var slopes = loss.Inputs.HasFlag(LossInputs.WholeBatch) && parts.Length > 1 ? Slopes(batch, all) : null;
        var totals = BatchTotals.Of(PairLengths.Of(all));
        var metrics = new PreferenceMetrics(loss.Beta);
        double total = slopes?.Loss ?? 0;
        foreach (var (from, micro) in parts)
        {
            using var step = new StepScope(policy.Backend);
            var input = Input(micro, [.. batch.Skip(from).Take(micro.Length)], withMismatched: slopes is null) with { Totals = totals };
            var share = slopes is null ? loss.PerPair(input).Sum() / batch.Count : slopes.Linear(input, from, micro.Length);
            total += slopes is null ? share.Item() : 0;
            metrics.Add(input.Policy, input.Reference, input.Lengths);
            share.Backward();
        }
        return new BatchResult([("loss", total), .. metrics.Means(), .. metrics.Weights()], all.Sum(PreferencePairs.Tokens))
        {
            // Adapters beside frozen weights need another number.
            Flops = policy.Trained == policy.Weights ? StepFlops.Needed(policy.Config, all) : null,
        };
    }

    private PreferenceBatch Input(PreferencePair[] micro, int[] examples, bool withMismatched)
    {
        var backend = policy.Backend;
        var pass = PairPass.Of(policy, micro, loss.Inputs, loss.TailWeight);
        var known = reference.At(examples);
        return new PreferenceBatch(pass.Sums, known.ToTensors(backend))
        {
            Lengths = PairLengths.Of(micro),
            Prompts = pass.Prompts,
            Confidence = pass.Confidence is null ? null : PairLogProbs.Of(backend, pass.Confidence.AsSpan(..micro.Length), pass.Confidence.AsSpan(micro.Length..)),
            MismatchedRatios = withMismatched ? known.Mismatched?.Under(policy, tokenBudget).Ratios(known.Mismatched) : null,
        };
    }

    /// <summary>
    /// A batch that must stay whole but does not fit: its loss and the loss's slope by every log-prob, from a first pass without gradients.
    /// The second pass, a micro-batch at a time, then needs the linear part alone.
    /// </summary>
    private BatchSlopes Slopes(IReadOnlyList<int> batch, PreferencePair[] all)
    {
        var known = reference.At(batch);
        var own = ReferenceLogProbs.OfPolicy(policy, all, known, loss, tokenBudget);
        using var step = new StepScope(policy.Backend);
        return BatchSlopes.Of(loss, ReferenceLogProbs.Batch(policy.Backend, own, known, PairLengths.Of(all), requiresGrad: true));
    }
}

/// <summary>Small things that pairs are asked for.</summary>
public static class PreferencePairs
{
    /// <summary>Prompt, chosen and rejected tokens; the prompt counts once, since it is run once.</summary>
    public static int Tokens(this PreferencePair pair) => pair.Prompt.Length + pair.Chosen.Length + pair.Rejected.Length;

    public static PackedBatch Pack(IBackend backend, IReadOnlyList<PreferencePair> pairs) =>
        PackedBatch.Pack(backend, [.. pairs.Select(ToGroup)]);

    public static PromptGroup ToGroup(this PreferencePair pair) => new(pair.Prompt, [pair.Chosen, pair.Rejected]);
}
