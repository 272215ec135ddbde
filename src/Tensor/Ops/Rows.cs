using TinyDpo.Kernels;

namespace TinyDpo.Tensors;

/// <summary>
/// y[i] = table[index[i]]: table [rows, columns], index [n], y [n, columns]. Rows may repeat, and backward adds them up. With a table of
/// embeddings and an index of token ids this is the embedding layer. A vector [rows] is taken as [rows, 1] and gives a vector [n].
/// </summary>
internal sealed class RowGatherOp(Tensor table, IndexBuffer index) : Op(table)
{
    private int Rows => table.Shape.Rank == 2 ? table.Shape.Rows : table.Shape.Count;

    private int Columns => table.Shape.Rank == 2 ? table.Shape.Columns : 1;

    protected override Shape OutputShape => table.Shape.Rank == 2 ? Shape.Matrix(index.Length, Columns) : Shape.Vector(index.Length);

    protected override void Forward(DeviceBuffer output) => Backend.GatherRows(table.Data, index, 0, index.Length, Columns, output);

    protected override void Backward(DeviceBuffer dOutput)
    {
        if (Wants(table, out var dTable, out var accumulate))
        {
            Backend.ScatterAddRows(dOutput, index, 0, index.Length, Columns, dTable, Rows, accumulate);
        }
    }
}

/// <summary>y = x[from .. from + length) of a vector x [n], or of a matrix with one column taken as one.</summary>
internal sealed class SliceOp : Op
{
    private readonly Tensor _x;
    private readonly int _from;
    private readonly int _length;

    public SliceOp(Tensor x, int from, int length)
        : base(x)
    {
        Require((x.Shape.Rank == 1 || (x.Shape.Rank == 2 && x.Shape.Columns == 1)) && from >= 0 && length >= 0 && from + length <= x.Shape.Count, $"no slice [{from}, {from + length}) of {x.Shape}");
        (_x, _from, _length) = (x, from, length);
    }

    protected override Shape OutputShape => Shape.Vector(_length);

    protected override void Forward(DeviceBuffer output) => Backend.Copy(_x.Data.Slice(_from, _length), output);

    protected override void Backward(DeviceBuffer dOutput)
    {
        if (Wants(_x, out var dx, out var accumulate))
        {
            if (!accumulate)
            {
                Backend.Fill(dx, 0);
            }
            Backend.Affine(dOutput, 1, 0, dx.Slice(_from, _length), accumulate: true);
        }
    }
}
