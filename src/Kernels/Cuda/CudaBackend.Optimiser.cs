namespace TinyDpo.Kernels;

public sealed unsafe partial class CudaBackend
{
    public double SumOfSquares(DeviceBuffer x) =>
        throw new NotImplementedException();

    public void AdamW(DeviceBuffer parameter, DeviceBuffer gradient, Real gradientScale, DeviceBuffer m, DeviceBuffer v, AdamWStep step) =>
        throw new NotImplementedException();

    public void Sgd(DeviceBuffer parameter, DeviceBuffer gradient, Real gradientScale, DeviceBuffer? velocity, Real learningRate, Real momentum) =>
        throw new NotImplementedException();

    public void RmsProp(
        DeviceBuffer parameter, DeviceBuffer gradient, Real gradientScale, DeviceBuffer square, Real learningRate, Real alpha, Real epsilon) =>
        throw new NotImplementedException();
}
