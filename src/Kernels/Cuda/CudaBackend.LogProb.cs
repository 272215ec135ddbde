namespace TinyDpo.Kernels;

public sealed unsafe partial class CudaBackend
{
    public void LogSoftmaxGather(
        DeviceBuffer logits, IndexBuffer targets, int from, int rows, int vocabulary, DeviceBuffer logProb, DeviceBuffer logSumExp) =>
        throw new NotImplementedException();

    public void LogSoftmaxGatherBackward(
        DeviceBuffer logits, IndexBuffer targets, int from, int rows, int vocabulary, DeviceBuffer logSumExp, DeviceBuffer dLogProb) =>
        throw new NotImplementedException();

    public void RowKl(DeviceBuffer p, DeviceBuffer q, int rows, int vocabulary, DeviceBuffer kl, int to) =>
        throw new NotImplementedException();

    public void Sample(
        DeviceBuffer logits, int rows, int vocabulary, SamplingOptions options, ulong seed, IndexBuffer sequence, IndexBuffer position,
        IndexBuffer token) =>
        throw new NotImplementedException();
}
