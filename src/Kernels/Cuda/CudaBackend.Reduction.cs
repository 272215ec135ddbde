namespace TinyDpo.Kernels;

public sealed unsafe partial class CudaBackend
{
    public void Sum(DeviceBuffer x, Real scale, DeviceBuffer sum) =>
        throw new NotImplementedException();

    public void SumBackward(DeviceBuffer dSum, Real scale, DeviceBuffer dx, bool accumulate) =>
        throw new NotImplementedException();

    public void SegmentSum(DeviceBuffer x, IndexBuffer offsets, DeviceBuffer sum) =>
        throw new NotImplementedException();

    public void SegmentSumBackward(DeviceBuffer dSum, IndexBuffer offsets, DeviceBuffer dx, bool accumulate) =>
        throw new NotImplementedException();
}
