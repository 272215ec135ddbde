namespace TinyDpo.Kernels;

public sealed unsafe partial class CudaBackend
{
    public void Rotary(
        DeviceBuffer x, IndexBuffer positions, DeviceBuffer cosines, DeviceBuffer sines, int tokens, int heads, int headSize, bool interleaved,
        bool inverse, DeviceBuffer y, bool accumulate) =>
        throw new NotImplementedException();

    public void SegmentAttention(
        AttentionShape shape, SegmentLayout segments, DeviceBuffer q, DeviceBuffer k, DeviceBuffer v, DeviceBuffer output, DeviceBuffer logSumExp) =>
        throw new NotImplementedException();

    public void SegmentAttentionBackward(
        AttentionShape shape, SegmentLayout segments, DeviceBuffer q, DeviceBuffer k, DeviceBuffer v, DeviceBuffer output,
        DeviceBuffer logSumExp, DeviceBuffer dOutput, DeviceBuffer dq, DeviceBuffer dk, DeviceBuffer dv) =>
        throw new NotImplementedException();

    public void AppendCache(
        DeviceBuffer k, DeviceBuffer v, IndexBuffer lengths, int sequences, int capacity, int width, DeviceBuffer kCache, DeviceBuffer vCache) =>
        throw new NotImplementedException();

    public void DecodeAttention(
        AttentionShape shape, DeviceBuffer q, DeviceBuffer kCache, DeviceBuffer vCache, IndexBuffer lengths, int sequences, int capacity,
        DeviceBuffer output) =>
        throw new NotImplementedException();
}
