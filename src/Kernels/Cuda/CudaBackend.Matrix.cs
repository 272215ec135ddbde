namespace TinyDpo.Kernels;

public sealed unsafe partial class CudaBackend
{
    public void AddBias(DeviceBuffer y, DeviceBuffer bias, int rows, int columns) =>
        throw new NotImplementedException();

    public void ColumnSum(DeviceBuffer x, int rows, int columns, DeviceBuffer sum, bool accumulate) =>
        throw new NotImplementedException();

    public void GatherRows(DeviceBuffer table, IndexBuffer index, int from, int count, int columns, DeviceBuffer y) =>
        throw new NotImplementedException();

    public void ScatterAddRows(DeviceBuffer y, IndexBuffer index, int from, int count, int columns, DeviceBuffer table, int tableRows, bool accumulate) =>
        throw new NotImplementedException();
}
