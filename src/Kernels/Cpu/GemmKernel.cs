using System.Diagnostics;
using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

/// <summary>A micro-kernel of <see cref="Gemm"/>: computes a tile of C of <see cref="Rows"/> x <see cref="Columns"/> elements.</summary>
internal sealed unsafe class GemmKernel
{
    /// <summary>Up to this many rows, a row at a time is faster than a tile that is partly empty.</summary>
    private const int FewRows = 4;

    private readonly GemmKernel? oneRow;

    private GemmKernel(
        int rows, int columns, delegate*<int, Real*, nint, nint, Real*, Real, bool, Real*, nint, nint, in GemmAhead, void> tile,
        delegate*<int, Real*, nint, nint, Real*, Real, bool, Real*, nint, nint, in GemmAhead, void> halfTile = null, GemmKernel? oneRow = null)
    {
        Rows = rows;
        Columns = columns;
        Tile = tile;
        HalfTile = halfTile;
        this.oneRow = oneRow;
        Debug.Assert(oneRow is null || (oneRow.Columns == columns && oneRow.HalfTile == null == (halfTile == null)), "both read the same panels");
    }

    public static GemmKernel Wide256 { get; } = new(
        GemmTile<Lanes256, Vector256<Real>>.Rows, GemmTile<Lanes256, Vector256<Real>>.Columns, &GemmTile<Lanes256, Vector256<Real>>.Multiply, null,
        new GemmKernel(1, GemmTile<Lanes256, Vector256<Real>>.Columns, &GemmTile<Lanes256, Vector256<Real>>.MultiplyRow));

    public static GemmKernel Wide512 { get; } = new(
        GemmTile512.Rows, GemmTile512.Columns, &GemmTile512.Multiply, &GemmTile<Lanes512, Vector512<Real>>.Multiply,
        new GemmKernel(1, GemmTile512.Columns, &GemmTile512.MultiplyRow, &GemmTile<Lanes512, Vector512<Real>>.MultiplyRow));

    /// <summary>The fastest on this machine. All give the same bits.</summary>
    public static GemmKernel Best { get; } = Vector512.IsHardwareAccelerated ? Wide512 : Wide256;

    public int Rows { get; }

    public int Columns { get; }

    /// <summary>
    /// (depth, a, rowStride, stepStride, b, alpha, accumulate, c, ldc, toAddend, ahead): each element is acc = fma(a, b, acc) from 0 over ascending p, then
    /// alpha * acc, or fma(alpha, acc, c) when accumulating, plus c[toAddend] unless that is 0. Meanwhile it
    /// asks for ahead; a kernel of one row does not. Element (i, p) of A is a[i * rowStride + p * stepStride];
    /// b is a packed panel [depth, Columns] aligned to 64 bytes.
    /// </summary>
    public delegate*<int, Real*, nint, nint, Real*, Real, bool, Real*, nint, nint, in GemmAhead, void> Tile { get; }

    /// <summary>The same for a panel half as wide, which the last is where that is enough; null for none.</summary>
    public delegate*<int, Real*, nint, nint, Real*, Real, bool, Real*, nint, nint, in GemmAhead, void> HalfTile { get; }

    /// <summary>The micro-kernel of this width for a product of m rows.</summary>
    public GemmKernel ForRows(int m) => m <= FewRows && oneRow is not null ? oneRow : this;
}
