namespace TinyDpo.Kernels;

public sealed unsafe partial class CudaBackend
{
    // Longest rows that a warp, and a block, hold in registers.
    private const int WarpColumns = 1024;
    private const int BlockColumns = 8192;

    public void RmsNorm(DeviceBuffer x, DeviceBuffer weight, int rows, int columns, Real epsilon, DeviceBuffer y, DeviceBuffer reciprocal)
    {
        var n = (long)rows * columns;
        RequireLength(x, n);
        RequireLength(weight, columns);
        RequireLength(y, n);
        RequireLength(reciprocal, rows);
        if (rows > 0)
        {
            var shape = NormShape.Of(rows, columns, vectors: 1);
            Launch(
                $"rms_norm_{shape.Kernel}", shape.Grid, In(x, n), In(weight, columns), rows, columns, epsilon, shape.RowsOfBlock,
                Out(y, n), Out(reciprocal, rows));
        }
    }

    public void RmsNormBackwardInput(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer reciprocal, DeviceBuffer dy, int rows, int columns, DeviceBuffer dx, bool accumulate)
    {
        var n = (long)rows * columns;
        RequireLength(x, n);
        RequireLength(weight, columns);
        RequireLength(reciprocal, rows);
        RequireLength(dy, n);
        RequireLength(dx, n);
        if (rows > 0)
        {
            var shape = NormShape.Of(rows, columns, vectors: 1);
            Launch(
                $"rms_norm_backward_input_{shape.Kernel}", shape.Grid, In(x, n), In(weight, columns), In(reciprocal, rows), In(dy, n),
                rows, columns, shape.RowsOfBlock, Result(dx, n, accumulate), accumulate);
        }
    }

    public void RmsNormBackwardWeight(
        DeviceBuffer x, DeviceBuffer reciprocal, DeviceBuffer dy, int rows, int columns, DeviceBuffer dWeight, bool accumulate)
    {
        var n = (long)rows * columns;
        RequireLength(x, n);
        RequireLength(reciprocal, rows);
        RequireLength(dy, n);
        RequireLength(dWeight, columns);
        AddRows(
            rows, columns, dWeight, accumulate, (x, reciprocal, dy, rows, columns, n),
            static (backend, s, grid, partial, add) => backend.Launch(
                "rms_norm_backward_weight", grid, In(s.x, s.n), In(s.reciprocal, s.rows), In(s.dy, s.n), s.rows, s.columns, partial, add));
    }

    public void LayerNorm(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer bias, int rows, int columns, Real epsilon, DeviceBuffer y, DeviceBuffer mean,
        DeviceBuffer reciprocal)
    {
        var n = (long)rows * columns;
        RequireLength(x, n);
        RequireLength(weight, columns);
        RequireLength(bias, columns);
        RequireLength(y, n);
        RequireLength(mean, rows);
        RequireLength(reciprocal, rows);
        if (rows > 0)
        {
            var shape = NormShape.Of(rows, columns, vectors: 2);
            Launch(
                $"layer_norm_{shape.Kernel}", shape.Grid, In(x, n), In(weight, columns), In(bias, columns), rows,
                columns, epsilon, shape.RowsOfBlock, Out(y, n), Out(mean, rows), Out(reciprocal, rows));
        }
    }

    public void LayerNormBackwardInput(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer mean, DeviceBuffer reciprocal, DeviceBuffer dy, int rows, int columns,
        DeviceBuffer dx, bool accumulate)
    {
        var n = (long)rows * columns;
        RequireLength(x, n);
        RequireLength(weight, columns);
        RequireLength(mean, rows);
        RequireLength(reciprocal, rows);
        RequireLength(dy, n);
        RequireLength(dx, n);
        if (rows > 0)
        {
            var shape = NormShape.Of(rows, columns, vectors: 1);
            Launch(
                $"layer_norm_backward_input_{shape.Kernel}", shape.Grid, In(x, n), In(weight, columns), In(mean, rows),
                In(reciprocal, rows), In(dy, n), rows, columns, shape.RowsOfBlock, Result(dx, n, accumulate), accumulate);
        }
    }

    public void LayerNormBackwardWeight(
        DeviceBuffer x, DeviceBuffer mean, DeviceBuffer reciprocal, DeviceBuffer dy, int rows, int columns, DeviceBuffer dWeight, bool accumulate)
    {
        var n = (long)rows * columns;
        RequireLength(x, n);
        RequireLength(mean, rows);
        RequireLength(reciprocal, rows);
        RequireLength(dy, n);
        RequireLength(dWeight, columns);
        AddRows(
            rows, columns, dWeight, accumulate, (x, mean, reciprocal, dy, rows, columns, n),
            static (backend, s, grid, partial, add) => backend.Launch(
                "layer_norm_backward_weight", grid, In(s.x, s.n), In(s.mean, s.rows), In(s.reciprocal, s.rows), In(s.dy, s.n), s.rows, s.columns,
                partial, add));
    }

    /// <summary>How a norm is launched: which of its three kernels, and how many rows share one reading of the weights.</summary>
    /// <param name="Kernel">The last word of the kernel's name.</param>
    /// <param name="Grid">Blocks of rows, and the shared memory for what columns have.</param>
    /// <param name="RowsOfBlock">Rows of a block: few where there are few rows, for more blocks. No result depends on it.</param>
    private readonly record struct NormShape(string Kernel, Grid Grid, int RowsOfBlock)
    {
        /// <param name="rows">Rows of the matrix.</param>
        /// <param name="columns">Numbers of a row.</param>
        /// <param name="vectors">Vectors [columns] that every block reads: weights, and a bias.</param>
        public static NormShape Of(int rows, int columns, int vectors)
        {
            // Each block reads the vectors again: 16 rows keep one, 32 keep two within 1/32 of the rows that are read and written.
            var rowsOfBlock = vectors > 1 || rows >= 2048 ? 32 : 16;
            var kernel = columns <= WarpColumns ? "warp" : columns <= BlockColumns ? "block" : "long";
            // Shared memory holds both vectors for warps, the weights for a block (its threads have the bias), nothing for long rows.
            var sharedVectors = kernel switch { "warp" => vectors, "block" => 1, _ => 0 };
            var sharedBytes = sharedVectors * ((columns + 3) / 4 * 4) * sizeof(float);
            return new NormShape(kernel, Grid.Of(Blocks(rows, rowsOfBlock), BlockThreads, sharedBytes), rowsOfBlock);
        }
    }
}
