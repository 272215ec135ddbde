namespace TinyDpo.Kernels;

public sealed unsafe partial class CudaBackend
{
    public void RmsNorm(DeviceBuffer x, DeviceBuffer weight, int rows, int columns, Real epsilon, DeviceBuffer y, DeviceBuffer reciprocal) =>
        throw new NotImplementedException();

    public void RmsNormBackwardInput(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer reciprocal, DeviceBuffer dy, int rows, int columns, DeviceBuffer dx, bool accumulate) =>
        throw new NotImplementedException();

    public void RmsNormBackwardWeight(
        DeviceBuffer x, DeviceBuffer reciprocal, DeviceBuffer dy, int rows, int columns, DeviceBuffer dWeight, bool accumulate) =>
        throw new NotImplementedException();

    public void LayerNorm(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer bias, int rows, int columns, Real epsilon, DeviceBuffer y, DeviceBuffer mean,
        DeviceBuffer reciprocal) =>
        throw new NotImplementedException();

    public void LayerNormBackwardInput(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer mean, DeviceBuffer reciprocal, DeviceBuffer dy, int rows, int columns,
        DeviceBuffer dx, bool accumulate) =>
        throw new NotImplementedException();

    public void LayerNormBackwardWeight(
        DeviceBuffer x, DeviceBuffer mean, DeviceBuffer reciprocal, DeviceBuffer dy, int rows, int columns, DeviceBuffer dWeight, bool accumulate) =>
        throw new NotImplementedException();
}
