using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

public sealed unsafe partial class CpuBackend
{
    public void Gemm(
        bool transA, bool transB, int m, int n, int k, Real alpha, DeviceBuffer a, DeviceBuffer b, bool accumulate, DeviceBuffer c,
        DeviceBuffer? addend)
    {
        RequireLength(a, (long)m * k);
        RequireLength(b, (long)k * n);
        RequireLength(c, (long)m * n);
        DeviceMemory.RequireAddend(addend, c, m, n, accumulate);
        var packed = transB ? Packed(b, n, k) : null;
        Kernels.Gemm.Multiply(
            _team, transA, transB, m, n, k, alpha, Data(a), transA ? m : k, Data(b), transB ? k : n, accumulate, Data(c), n,
            addend is null ? null : Data(addend), packed is null ? null : Data(packed));
    }

    public void KeepPacked(DeviceBuffer b, int n, int k)
    {
        RequireLength(b, (long)n * k);
        if (Packed(b, n, k) is not null)
        {
            return; // by a scope around this one, which lasts longer
        }
        b.Packed = new PackedOperand(Memory.Rent(Kernels.Gemm.PackedLength(n, k)), n, k);
        Kernels.Gemm.PackTransposed(_team, n, k, Data(b), Data(b.Packed.Panels));
    }

    public void AddBias(DeviceBuffer y, DeviceBuffer bias, int rows, int columns)
    {
        RequireLength(y, (long)rows * columns);
        RequireLength(bias, columns);
        _team.For(rows, RowGrain(columns), (y: (Ptr)Data(y), bias: (Ptr)Data(bias), columns), static (s, from, to) =>
        {
            for (var r = from; r < to; r++)
            {
                VectorRow.AddTo(s.y + ((long)r * s.columns), s.bias, s.columns);
            }
        });
    }

    public void ColumnSum(DeviceBuffer x, int rows, int columns, DeviceBuffer sum, bool accumulate)
    {
        RequireLength(x, (long)rows * columns);
        RequireLength(sum, columns);
        SumColumns(new ElementTerm(Data(x)), rows, columns, sum, accumulate);
    }

    public void GatherRows(DeviceBuffer table, IndexBuffer index, int from, int count, int columns, DeviceBuffer y)
    {
        RequireLength(y, (long)count * columns);
        RequireIndices(index, from, count, columns == 0 ? int.MaxValue : table.Length / columns);
        var state = (table: (Ptr)Data(table), index: (nint)(Data(index) + from), y: (Ptr)Data(y), columns);
        _team.For(count, RowGrain(columns), state, static (s, from, to) =>
        {
            Real* table = s.table, y = s.y;
            var index = (int*)s.index;
            for (var i = from; i < to; i++)
            {
                new ReadOnlySpan<Real>(table + ((long)index[i] * s.columns), s.columns).CopyTo(
                    new Span<Real>(y + ((long)i * s.columns), s.columns));
            }
        });
    }

    public void ScatterAddRows(DeviceBuffer y, IndexBuffer index, int from, int count, int columns, DeviceBuffer table, int tableRows, bool accumulate)
    {
        RequireLength(y, (long)count * columns);
        RequireLength(table, (long)tableRows * columns);
        RequireIndices(index, from, count, tableRows);
        var state = (y: (Ptr)Data(y), index: (nint)(Data(index) + from), table: (Ptr)Data(table), count, columns, accumulate);

        // Each worker owns a range of table rows and reads the whole index: no two add to the same row, and each row's order is that of i.
        var grain = Math.Max(1, (tableRows + Threads - 1) / Threads);
        _team.For(tableRows, grain, state, static (s, fromRow, toRow) =>
        {
            Real* y = s.y, table = s.table;
            var index = (int*)s.index;
            if (!s.accumulate)
            {
                new Span<Real>(table + ((long)fromRow * s.columns), (toRow - fromRow) * s.columns).Clear();
            }
            for (var i = 0; i < s.count; i++)
            {
                if (index[i] >= fromRow && index[i] < toRow)
                {
                    VectorRow.AddTo(table + ((long)index[i] * s.columns), y + ((long)i * s.columns), s.columns);
                }
            }
        });
    }

    /// <summary>The panels of b [n, k], where they are kept.</summary>
    private static DeviceBuffer? Packed(DeviceBuffer b, int n, int k) =>
        b.Packed is { Panels.Returned: false } kept && (kept.N, kept.K) == (n, k) ? kept.Panels : null;

    /// <summary>Rows a worker takes at a time, for about <see cref="ElementGrain"/> elements.</summary>
    private static int RowGrain(int columns) => Math.Max(1, ElementGrain / 4 / Math.Max(1, columns));

    private static void RequireIndices(IndexBuffer index, int from, int count, int limit)
    {
        RequireLength(index, (long)from + count);
        IndexBuffer.RequireRange(new ReadOnlySpan<int>(Data(index) + from, count), limit);
    }
}
