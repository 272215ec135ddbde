using System.Runtime.InteropServices;

namespace TinyDpo.Kernels;

public sealed unsafe partial class CudaBackend
{
    // As in kernels.cu: columns of a tile, and rows that one block adds up.
    private const int TileColumns = 1024;
    private const int ChunkRows = 128;

    public void AddBias(DeviceBuffer y, DeviceBuffer bias, int rows, int columns)
    {
        RequireLength(y, (long)rows * columns);
        RequireLength(bias, columns);
        if (rows == 0 || columns == 0)
        {
            return;
        }
        Launch(
            "add_bias", Tiles(rows, columns), InOut(y, (long)rows * columns), In(bias, columns), rows, columns, RowsOfTile(rows),
            ColumnsOfTile(columns));
    }

    public void ColumnSum(DeviceBuffer x, int rows, int columns, DeviceBuffer sum, bool accumulate)
    {
        RequireLength(x, (long)rows * columns);
        RequireLength(sum, columns);
        AddRows(
            rows, columns, sum, accumulate, (x, rows, columns),
            static (backend, s, grid, partial, add) => backend.Launch(
                "column_sum", grid, In(s.x, (long)s.rows * s.columns), s.rows, s.columns, partial, add));
    }

    public void GatherRows(DeviceBuffer table, IndexBuffer index, int from, int count, int columns, DeviceBuffer y)
    {
        RequireLength(y, (long)count * columns);
        RequireIndices(index, from, count, columns == 0 ? int.MaxValue : table.Length / columns);
        if (count == 0 || columns == 0)
        {
            return;
        }
        Launch(
            "gather_rows", Tiles(count, columns), In(table, table.Length, Gathered(index, from, count, columns)), Indices(index, from, count),
            count, columns, RowsOfTile(count), ColumnsOfTile(columns), Out(y, (long)count * columns));
    }

    // Elements of the table that must be read, a strip of columns after the other; only an observer asks.
    private long Gathered(IndexBuffer index, int from, int count, int columns)
    {
        if (_observer is null)
        {
            return (long)count * columns;
        }
        var (pack, whole) = (columns % 4 == 0 ? 4 : 1, columns / TileColumns * TileColumns);
        return ((long)count * whole) + (NamedRows.Packs(HostValues(index).AsSpan(from, count), (columns - whole) / pack, RowsOfTile(count)) * pack);
    }

    public void ScatterAddRows(DeviceBuffer y, IndexBuffer index, int from, int count, int columns, DeviceBuffer table, int tableRows, bool accumulate)
    {
        RequireLength(y, (long)count * columns);
        RequireLength(table, (long)tableRows * columns);
        RequireIndices(index, from, count, tableRows);
        if (columns == 0 || tableRows == 0 || (accumulate && count == 0))
        {
            return;
        }
        var plan = ScatterPlan.Of(HostValues(index).AsSpan(from, count), tableRows, everyRow: !accumulate);
        using var scratch = Temporary(plan.Values.Length);
        UploadBytes(MemoryMarshal.AsBytes(plan.Values.AsSpan()), scratch.Buffer.Address);
        var written = (long)plan.Segments * columns;
        var packs = columns % 4 == 0 ? columns / 4 : columns;
        Launch(
            "scatter_add_rows", Grid.Of(Blocks((long)plan.Segments * packs, BlockThreads), BlockThreads), In(y, (long)count * columns),
            Part(scratch.Buffer, 0, plan.Segments + 1), Part(scratch.Buffer, plan.Segments + 1, plan.Segments),
            Part(scratch.Buffer, (2 * plan.Segments) + 1, count), plan.Segments, columns,
            Result(table, (long)tableRows * columns, written, accumulate), accumulate);
    }

    /// <summary>Launches a kernel that puts the column sums of each chunk of rows into a buffer [chunks, columns].</summary>
    private delegate void ChunkSums<TState>(CudaBackend backend, TState state, Grid grid, KernelArgument partial, bool accumulate);

    // Sums of chunks of 128 rows, then the same over the chunks' sums: the order depends on the number of rows alone.
    private void AddRows<TState>(int rows, int columns, DeviceBuffer sum, bool accumulate, TState state, ChunkSums<TState> launch)
    {
        if (columns == 0)
        {
            return;
        }
        if (rows == 0)
        {
            if (!accumulate)
            {
                Fill(sum.Slice(0, columns), 0);
            }
            return;
        }
        var chunks = (int)Blocks(rows, ChunkRows);
        var grid = Grid.Of(chunks * Blocks(columns, columns % 4 == 0 ? 128 : 32), BlockThreads);
        if (chunks == 1)
        {
            launch(this, state, grid, Result(sum, columns, accumulate), accumulate);
            return;
        }
        using var partial = Temporary(chunks * columns);
        launch(this, state, grid, Out(partial.Buffer, (long)chunks * columns), false);
        ColumnSum(partial.Buffer, chunks, columns, sum, accumulate);
    }

    // Few rows go in smaller tiles, for more blocks; no sum depends on it.
    private static int RowsOfTile(int rows) => rows >= 1024 ? 32 : 16;

    private static int ColumnsOfTile(int columns) => Math.Min(columns, TileColumns);

    private static Grid Tiles(int rows, int columns) => Grid.Of(Blocks(rows, RowsOfTile(rows)) * Blocks(columns, TileColumns), BlockThreads);

    private static KernelArgument Indices(IndexBuffer index, int from, int count) => Part(index, from, count);

    private static KernelArgument Part(DeviceMemory memory, long from, long count) =>
        KernelArgument.Pointer(memory.Address + (nint)(from * sizeof(int)), count * sizeof(int), Access.Read, count * sizeof(int), 0);

    /// <param name="buffer">What is written, or added to.</param>
    /// <param name="length">Elements that may be touched.</param>
    /// <param name="needed">Elements that are.</param>
    /// <param name="accumulate">Whether they are read first.</param>
    private static KernelArgument Result(DeviceMemory buffer, long length, long needed, bool accumulate) =>
        KernelArgument.Pointer(
            buffer.Address, length * sizeof(float), accumulate ? Access.ReadWrite : Access.Write, accumulate ? needed * sizeof(float) : 0,
            needed * sizeof(float));
}
