using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

public sealed unsafe partial class CpuBackend
{
    // Columns of one worker's strip: a few cache lines.
    private const int ColumnGrain = 64;

    /// <summary>What <see cref="SumColumns"/> adds up.</summary>
    private interface IColumnTerm
    {
        /// <summary>The terms of a row from element at on, its first column; past count anything.</summary>
        Vector256<Real> At(int row, long at, int count);
    }

    private readonly struct ElementTerm(Real* x) : IColumnTerm
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Vector256<Real> At(int row, long at, int count) => VectorRow.Load(x + at, count);
    }

    /// <summary>sum[j] (+)= the terms of column j, row after row: the order depends on the rows alone.</summary>
    private void SumColumns<TTerm>(TTerm term, int rows, int columns, DeviceBuffer sum, bool accumulate)
        where TTerm : unmanaged, IColumnTerm
    {
        _team.For(columns, ColumnGrain, (term, sum: (Ptr)Data(sum), rows, columns, accumulate), static (s, from, to) =>
        {
            // Four vectors at a time: of each row's cache lines none is fetched twice.
            Real* sum = s.sum;
            var j = from;
            for (; j + (4 * Lanes) <= to; j += 4 * Lanes)
            {
                Vector256<Real> total0 = default, total1 = default, total2 = default, total3 = default;
                for (var row = 0; row < s.rows; row++)
                {
                    var at = ((long)row * s.columns) + j;
                    total0 += s.term.At(row, at, Lanes);
                    total1 += s.term.At(row, at + Lanes, Lanes);
                    total2 += s.term.At(row, at + (2 * Lanes), Lanes);
                    total3 += s.term.At(row, at + (3 * Lanes), Lanes);
                }
                Put(sum + j, Lanes, total0, s.accumulate);
                Put(sum + j + Lanes, Lanes, total1, s.accumulate);
                Put(sum + j + (2 * Lanes), Lanes, total2, s.accumulate);
                Put(sum + j + (3 * Lanes), Lanes, total3, s.accumulate);
            }
            for (; j < to; j += Lanes)
            {
                var total = Vector256<Real>.Zero;
                for (var row = 0; row < s.rows; row++)
                {
                    total += s.term.At(row, ((long)row * s.columns) + j, to - j);
                }
                Put(sum + j, to - j, total, s.accumulate);
            }
        });

        static void Put(Real* sum, int count, Vector256<Real> total, bool accumulate) =>
            VectorRow.Store(accumulate ? VectorRow.Load(sum, count) + total : total, sum, count);
    }
}
