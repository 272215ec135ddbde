namespace TinyDpo.Kernels;

public sealed unsafe partial class CudaBackend
{
    public void Unary(UnaryFunction f, DeviceBuffer x, DeviceBuffer y) =>
        throw new NotImplementedException();

    public void UnaryBackward(UnaryFunction f, DeviceBuffer x, DeviceBuffer y, DeviceBuffer dy, DeviceBuffer dx, bool accumulate) =>
        throw new NotImplementedException();

    public void Binary(BinaryFunction f, DeviceBuffer a, DeviceBuffer b, DeviceBuffer y) =>
        throw new NotImplementedException();

    public void BinaryBackwardFirst(BinaryFunction f, DeviceBuffer a, DeviceBuffer b, DeviceBuffer dy, DeviceBuffer da, bool accumulate) =>
        throw new NotImplementedException();

    public void BinaryBackwardSecond(BinaryFunction f, DeviceBuffer a, DeviceBuffer b, DeviceBuffer dy, DeviceBuffer db, bool accumulate) =>
        throw new NotImplementedException();

    public void Affine(DeviceBuffer x, Real scale, Real shift, DeviceBuffer y, bool accumulate) =>
        throw new NotImplementedException();

    public void SwiGlu(DeviceBuffer gate, DeviceBuffer up, DeviceBuffer y) =>
        throw new NotImplementedException();

    public void SwiGluBackward(
        DeviceBuffer gate, DeviceBuffer up, DeviceBuffer dy, DeviceBuffer dGate, bool accumulateGate, DeviceBuffer dUp, bool accumulateUp) =>
        throw new NotImplementedException();
}
