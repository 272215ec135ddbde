namespace TinyDpo.Kernels;

public partial interface IBackend
{
    /// <summary>
    /// c [m, n] = alpha op(a) op(b), or c + that. op(a) is [m, k]: a is stored [m, k], or [k, m] when <paramref name="transA"/>; likewise b
    /// is [k, n], or [n, k] when <paramref name="transB"/>. Not accumulating, it may add another matrix, <paramref name="addend"/> [m, n], which
    /// does not overlap c; the CPU adds it last, with the bits of a sum of two matrices.
    /// </summary>
    void Gemm(
        bool transA, bool transB, int m, int n, int k, Real alpha, DeviceBuffer a, DeviceBuffer b, bool accumulate, DeviceBuffer c,
        DeviceBuffer? addend = null);

    /// <summary>
    /// b [n, k] will be a transposed right operand of many products, and nothing writes to it until the innermost scope ends: the backend may keep
    /// it till then in the form that its products read. No bit of a product depends on it.
    /// </summary>
    void KeepPacked(DeviceBuffer b, int n, int k);

    /// <summary>y [rows, columns] += bias [columns], in place.</summary>
    void AddBias(DeviceBuffer y, DeviceBuffer bias, int rows, int columns);

    /// <summary>sum [columns] (+)= the sum of x [rows, columns] over its rows, top to bottom.</summary>
    void ColumnSum(DeviceBuffer x, int rows, int columns, DeviceBuffer sum, bool accumulate);

    /// <summary>y [index.Length, columns] = the rows of table that index names; rows may repeat.</summary>
    void GatherRows(DeviceBuffer table, IndexBuffer index, int from, int count, int columns, DeviceBuffer y);

    /// <summary>
    /// table [tableRows, columns] gets row index[from + i] (+)= y[i], in ascending i. When not accumulating, rows that no index names become 0.
    /// </summary>
    void ScatterAddRows(DeviceBuffer y, IndexBuffer index, int from, int count, int columns, DeviceBuffer table, int tableRows, bool accumulate);
}
