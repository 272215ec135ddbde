namespace TinyDpo.Kernels;

public partial interface IBackend
{
    /// <summary>
    /// y = x / rms(x) * weight, row by row, rms(x) = sqrt(mean(x^2) + epsilon) (Zhang and Sennrich 2019). x, y [rows, columns],
    /// weight [columns]; reciprocal [rows] gets 1 / rms for the backward pass.
    /// </summary>
    void RmsNorm(DeviceBuffer x, DeviceBuffer weight, int rows, int columns, Real epsilon, DeviceBuffer y, DeviceBuffer reciprocal);

    void RmsNormBackwardInput(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer reciprocal, DeviceBuffer dy, int rows, int columns, DeviceBuffer dx, bool accumulate);

    void RmsNormBackwardWeight(
        DeviceBuffer x, DeviceBuffer reciprocal, DeviceBuffer dy, int rows, int columns, DeviceBuffer dWeight, bool accumulate);

    /// <summary>
    /// y = (x - mean) / sqrt(variance + epsilon) * weight + bias, row by row (Ba et al. 2016); the variance is the mean of the squared
    /// deviations. mean and reciprocal [rows] are kept for the backward pass.
    /// </summary>
    void LayerNorm(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer bias, int rows, int columns, Real epsilon, DeviceBuffer y, DeviceBuffer mean,
        DeviceBuffer reciprocal);

    void LayerNormBackwardInput(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer mean, DeviceBuffer reciprocal, DeviceBuffer dy, int rows, int columns,
        DeviceBuffer dx, bool accumulate);

    void LayerNormBackwardWeight(
        DeviceBuffer x, DeviceBuffer mean, DeviceBuffer reciprocal, DeviceBuffer dy, int rows, int columns, DeviceBuffer dWeight, bool accumulate);
}
