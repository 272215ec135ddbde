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
    // Logits of both models for so many rows at a time.
    private const int RowChunk = 1024;

    /// <summary>Runs both models over the sequences, a micro-batch at a time.</summary>
    public static PolicyDivergence Measure(
        Transformer policy, Transformer reference, IReadOnlyList<(int[] Prompt, int[] Completion)> sequences,
        int tokenBudget = SftTask.DefaultTokenBudget, Action<int>? done = null, CancellationToken cancellation = default)
    {
        var result = new PolicyDivergence(new double[sequences.Count], new double[sequences.Count], new double[sequences.Count]);
        var finished = 0;
        foreach (var micro in MicroBatches.Split(
            [.. Enumerable.Range(0, sequences.Count)], i => sequences[i].Prompt.Length + sequences[i].Completion.Length, tokenBudget))
        {
            cancellation.ThrowIfCancellationRequested();
            result.MeasureBatch(policy, reference, [.. micro.Select(i => sequences[i])], micro[0]);
            done?.Invoke(finished += micro.Length);
        }
        return result;
    }

    private void MeasureBatch(Transformer policy, Transformer reference, IReadOnlyList<(int[] Prompt, int[] Completion)> sequences, int first)
    {
        var backend = policy.Backend;
        using var step = new StepScope(backend, gradients: false);
        var batch = PackedBatch.Pack(backend, [.. sequences.Select(static s => new PromptGroup(s.Prompt, [s.Completion]))]);
        var (p, q) = (policy.Hidden(batch), reference.Hidden(batch));
        var rowKl = backend.Memory.Rent(batch.Rows.Length);
        var rows = new int[batch.Rows.Length];
        backend.Download(batch.Rows, rows);
        for (var from = 0; from < rows.Length; from += RowChunk)
        {
            using var chunk = new StepScope(backend, gradients: false);
            var count = Math.Min(RowChunk, rows.Length - from);
            var index = backend.Memory.RentIndex(count);
            backend.Upload(rows.AsSpan(from, count), index);
            backend.RowKl(policy.Logits(p, index).Data, reference.Logits(q, index).Data, count, policy.Config.VocabSize, rowKl, from);
        }
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
