using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>How far a policy has moved from its reference, on given sequences.</summary>
/// <param name="Kl">
/// For each sequence the sum over its completion's positions of the exact KL(policy || reference) between the two next-token
/// distributions, in nats. Its mean over the policy's own samples (temperature 1) estimates KL(policy || reference) per sequence.
/// </param>
/// <param name="PolicyLogProbs">log pi(completion | prompt) of each sequence.</param>
/// <param name="ReferenceLogProbs">log pi_ref(completion | prompt) of each sequence.</param>
public sealed record PolicyDivergence(double[] Kl, double[] PolicyLogProbs, double[] ReferenceLogProbs)
{
    /// <summary>Runs both models over the sequences, a micro-batch at a time.</summary>
    public static PolicyDivergence Measure(
        Transformer policy, Transformer reference, IReadOnlyList<(int[] Prompt, int[] Completion)> sequences,
        int tokenBudget = SftTask.DefaultTokenBudget, Action<int>? done = null, CancellationToken cancellation = default)
    {
        var result = new PolicyDivergence(new double[sequences.Count], new double[sequences.Count], new double[sequences.Count]);
        EachBatch(sequences, tokenBudget, policy.Backend, (batch, first) => result.MeasureBatch(policy, reference, batch, first), done, cancellation);
        return result;
    }

    /// <summary>log pi(completion | prompt) of each sequence under one model.</summary>
    public static double[] LogProbs(
        Transformer model, IReadOnlyList<(int[] Prompt, int[] Completion)> sequences, int tokenBudget = SftTask.DefaultTokenBudget,
        Action<int>? done = null, CancellationToken cancellation = default)
    {
        var result = new double[sequences.Count];
        EachBatch(
            sequences, tokenBudget, model.Backend,
            (batch, first) => Array.ConvertAll(model.SequenceLogProbs(batch).ToArray(), static x => (double)x).CopyTo(result, first), done, cancellation);
        return result;
    }

    private static void EachBatch(
        IReadOnlyList<(int[] Prompt, int[] Completion)> sequences, int tokenBudget, IBackend backend, Action<PackedBatch, int> measure,
        Action<int>? done, CancellationToken cancellation)
    {
        var finished = 0;
        foreach (var micro in MicroBatches.Split(
            [.. Enumerable.Range(0, sequences.Count)], i => sequences[i].Prompt.Length + sequences[i].Completion.Length, tokenBudget))
        {
            cancellation.ThrowIfCancellationRequested();
            using var step = new StepScope(backend, gradients: false);
            measure(PackedBatch.Pack(backend, [.. micro.Select(i => new PromptGroup(sequences[i].Prompt, [sequences[i].Completion]))]), micro[0]);
            done?.Invoke(finished += micro.Length);
        }
    }

    private void MeasureBatch(Transformer policy, Transformer reference, PackedBatch batch, int first)
    {
        var backend = policy.Backend;
        var (p, q) = (policy.Hidden(batch), reference.Hidden(batch));
        var rowKl = backend.Memory.Rent(batch.Rows.Length);
        LogitChunks.Each(backend, batch.Rows, policy.Config.VocabSize, (from, rows) =>
            backend.RowKl(policy.Logits(p, rows).Data, reference.Logits(q, rows).Data, rows.Length, policy.Config.VocabSize, rowKl, from));
        Store(rowKl, batch, Kl);
        Store(Functions.LinearLogProb(p, policy.Head, batch.Rows, batch.Targets).Data, batch, PolicyLogProbs);
        Store(Functions.LinearLogProb(q, reference.Head, batch.Rows, batch.Targets).Data, batch, ReferenceLogProbs);

        void Store(DeviceBuffer perToken, PackedBatch packed, double[] perSequence)
        {
            var sums = backend.Memory.Rent(packed.Sequences);
            backend.SegmentSum(perToken, packed.Offsets, sums);
            var values = new Real[packed.Sequences];
            backend.Download(sums, values);
            for (var i = 0; i < values.Length; i++)
            {
                perSequence[first + i] = values[i];
            }
        }
    }
}
