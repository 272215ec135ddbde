using TinyDpo.Kernels;

namespace TinyDpo.Tests.Cuda;

[TestFixture(CudaDevice.Simulated)]
[TestFixture(CudaDevice.Card, Category = "Gpu")]
public class RowKernelTests(CudaDevice device) : KernelTests(device)
{
    private static readonly (int Rows, int Columns)[] s_shapes =
        [(0, 4), (3, 0), (1, 1), (1, 8191), (33, 31), (31, 33), (7, 1000), (40, 64), (1030, 20), (9, 2052)];

    [Test]
    public void ABiasIsAddedWithTheBitsOfTheCpu([ValueSource(nameof(s_shapes))] (int Rows, int Columns) shape, [Values(0, 1)] int offset) =>
        Devices.RequireSameBits(
            offset, [DevicePair.SpecialNumbers(1, shape.Rows * shape.Columns), DevicePair.SpecialNumbers(2, shape.Columns)],
            (backend, b) => backend.AddBias(b[0], b[1], shape.Rows, shape.Columns));

    [Test]
    public void RowsAreGatheredWithTheirBits([ValueSource(nameof(s_shapes))] (int Rows, int Columns) shape, [Values(0, 1)] int offset)
    {
        var (count, columns) = shape;
        int[] index = [5, 5, 5, .. Enumerable.Range(0, count).Select(static i => i * 7 % 11)];
        Devices.RequireSameBits(
            offset, [DevicePair.SpecialNumbers(1, 11 * columns), DevicePair.Numbers(2, count * columns)],
            (backend, b) => backend.GatherRows(b[0], DevicePair.Indices(backend, index), 3, count, columns, b[1]));
    }

    /// <summary>Rows of the table that are named often, once and never; each one's sum in the order of the source.</summary>
    [Test]
    public void RowsAreAddedInTheOrderOfTheSource(
        [ValueSource(nameof(s_shapes))] (int Rows, int Columns) shape, [Values(0, 1)] int offset, [Values] bool accumulate)
    {
        var (count, columns) = shape;
        int[] index = [5, 5, .. Enumerable.Range(0, count).Select(static i => i % 3 == 0 ? 2 : i * 5 % 13)];
        Devices.RequireSameBits(
            offset, [DevicePair.Numbers(1, count * columns), DevicePair.Numbers(2, 17 * columns)],
            (backend, b) => backend.ScatterAddRows(b[0], DevicePair.Indices(backend, index), 2, count, columns, b[1], 17, accumulate));
    }

    [Test]
    public void ABadRowIsRefusedOnTheHost()
    {
        using var scope = new MemoryScope(Devices.Cuda);
        var memory = Devices.Cuda.Memory;
        var index = DevicePair.Indices(Devices.Cuda, [0, 3, -1]);
        Assert.Throws<ArgumentException>(() => Devices.Cuda.GatherRows(memory.Rent(12), index, 0, 2, 4, memory.Rent(8)));
        Assert.Throws<ArgumentException>(() => Devices.Cuda.ScatterAddRows(memory.Rent(12), index, 0, 3, 4, memory.Rent(16), 4, accumulate: true));
    }
}
