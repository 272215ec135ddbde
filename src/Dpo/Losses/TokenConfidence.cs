using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>
/// How sure a model is of a completion against what it would have sampled: the mean over its tokens of log p(token) - log c, where c, the sum
/// of p^2 over the vocabulary, is the probability that a sampled token has (Zhou et al. 2024, WPO, sampled alignment). Without a gradient.
/// </summary>
public static class TokenConfidence
{
    /// <summary>The confidence in each sequence of a batch, [sequences].</summary>
    /// <param name="hidden">The batch's hidden states.</param>
    /// <param name="tokens">Its log-probs [predictions].</param>
    public static Real[] Of(Transformer model, PackedBatch batch, Tensor hidden, Tensor tokens)
    {
        var backend = model.Backend;
        var logProbs = tokens.ToArray();
        var collisions = LogCollisions(model, batch, hidden);
        var offsets = new int[batch.Offsets.Length];
        backend.Download(batch.Offsets, offsets);
        var confidence = new Real[batch.Sequences];
        for (var s = 0; s < confidence.Length; s++)
        {
            double sum = 0;
            for (var i = offsets[s]; i < offsets[s + 1]; i++)
            {
                sum += (double)logProbs[i] - collisions[i];
            }
            confidence[s] = (Real)(sum / (offsets[s + 1] - offsets[s]));
        }
        return confidence;
    }

    // log sum p^2 = logSumExp(2 z) - 2 logSumExp(z) for logits z.
    private static double[] LogCollisions(Transformer model, PackedBatch batch, Tensor hidden)
    {
        var backend = model.Backend;
        var vocabulary = model.Config.VocabSize;
        var result = new double[batch.Rows.Length];
        LogitChunks.Each(backend, batch.Rows, vocabulary, (from, index) =>
        {
            var count = index.Length;
            var target = backend.Memory.RentIndex(count);
            backend.Upload(new int[count], target);
            var logits = model.Logits(hidden, index).Data;
            var once = LogSumExp();
            backend.Affine(logits, 2, 0, logits, accumulate: false);
            var twice = LogSumExp();
            for (var i = 0; i < count; i++)
            {
                result[from + i] = (double)twice[i] - (2.0 * once[i]);
            }

            Real[] LogSumExp()
            {
                var (unused, sum) = (backend.Memory.Rent(count), Tensor.Uninitialised(backend, Shape.Vector(count)));
                backend.LogSoftmaxGather(logits, target, 0, count, vocabulary, unused, sum.Data);
                return sum.ToArray();
            }
        });
        return result;
    }
}
