namespace TinyDpo.Kernels;

/// <summary>How the next token is drawn from logits.</summary>
/// <param name="Temperature">Divides the logits; 0 takes the likeliest token (the lowest id among equals).</param>
/// <param name="TopK">Only the K likeliest tokens; 0 for all.</param>
/// <param name="TopP">Only the likeliest tokens whose probabilities first reach P (Holtzman et al. 2020); 1 for all.</param>
public sealed record SamplingOptions(double Temperature = 1, int TopK = 0, double TopP = 1);

public partial interface IBackend
{
    /// <summary>
    /// logProb[from + r] = logits[r, targets[from + r]] - logSumExp(logits[r, :]), and logSumExp[from + r], for logits [rows, vocabulary]: the
    /// fused log-softmax and target gather.
    /// </summary>
    void LogSoftmaxGather(
        DeviceBuffer logits, IndexBuffer targets, int from, int rows, int vocabulary, DeviceBuffer logProb, DeviceBuffer logSumExp);

    /// <summary>In place: logits[r, j] becomes dLogProb[from + r] ([j == target] - softmax(logits[r, :])[j]).</summary>
    void LogSoftmaxGatherBackward(
        DeviceBuffer logits, IndexBuffer targets, int from, int rows, int vocabulary, DeviceBuffer logSumExp, DeviceBuffer dLogProb);

    /// <summary>kl[to + r] = KL(softmax(p[r, :]) || softmax(q[r, :])) in nats, for logits p, q [rows, vocabulary].</summary>
    void RowKl(DeviceBuffer p, DeviceBuffer q, int rows, int vocabulary, DeviceBuffer kl, int to);

    /// <summary>
    /// token[r] drawn from logits [rows, vocabulary]; the random number has the address (seed, Sample, 0, sequence[r], position[r]), so a
    /// sequence's tokens do not depend on its batch.
    /// </summary>
    void Sample(
        DeviceBuffer logits, int rows, int vocabulary, SamplingOptions options, ulong seed, IndexBuffer sequence, IndexBuffer position,
        IndexBuffer token);
}
