using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

/// <summary>Attention's product of four rows, or of one, in vectors of any width.</summary>
internal static unsafe class AttentionQuad
{
    /// <summary>Rows of C that share each load of B: 4 rows by 2 vectors are the 8 independent chains that two FMA units need.</summary>
    public const int Rows = 4;

    /// <summary>
    /// The depths that the four rows of a quad take part in: all in [AllStart, AllEnd); row r &lt; 3 in [First + r, AllStart) too, row r &gt; 0
    /// in [AllEnd, Ends[r]).
    /// </summary>
    public readonly struct Steps
    {
        public readonly int First, AllStart, AllEnd, End1, End2, End3;

        public Steps(int depth) => AllEnd = End1 = End2 = End3 = depth;

        private Steps(int first, int allStart, int allEnd, int end1, int end2, int end3) =>
            (First, AllStart, AllEnd, End1, End2, End3) = (first, allStart, allEnd, end1, end2, end3);

        /// <summary>Row r takes part in [first, firstEnd + r * step), as far as the block reaches.</summary>
        public static Steps Ending(int first, int firstEnd, int step)
        {
            return new Steps(first, first, Within(firstEnd), Within(firstEnd + step), Within(firstEnd + 2 * step), Within(firstEnd + 3 * step));

            static int Within(int end) => Math.Clamp(end, 0, AttentionTile.Keys);
        }

        /// <summary>Row r takes part in [firstStart + r, depth).</summary>
        public static Steps Starting(int firstStart, int depth) =>
            new(firstStart, Math.Clamp(firstStart + Rows - 1, 0, depth), depth, depth, depth, depth);
    }

    /// <summary>C[4, cols] (+)= A B over each row's own depths, A[r, d] = a[r * aRow + d * aDepth]. fresh: C starts from 0.</summary>
    public static void Multiply(Real* c, nint ldc, Real* a, nint aRow, nint aDepth, Real* b, nint ldb, in Steps steps, int cols, bool fresh)
    {
        var j = 0;
        if (Vector512.IsHardwareAccelerated)
        {
            j = Multiply<Lanes512, Vector512<Real>, Two>(c, ldc, a, aRow, aDepth, b, ldb, steps, j, cols, fresh);
            if (j < cols)
            {
                j = Multiply<Lanes512, Vector512<Real>, One>(c, ldc, a, aRow, aDepth, b, ldb, steps, j, cols, fresh);
            }
            if (j == cols)
            {
                return;
            }
        }
        j = Multiply<Lanes256, Vector256<Real>, Two>(c, ldc, a, aRow, aDepth, b, ldb, steps, j, cols, fresh);
        Multiply<Lanes256, Vector256<Real>, One>(c, ldc, a, aRow, aDepth, b, ldb, steps, j, cols, fresh);
    }

    /// <summary>Columns from j on, one or two vectors of this width at a time, as far as they fill them; the first that do not.</summary>
    private static int Multiply<TLanes, TVector, TCount>(
        Real* c, nint ldc, Real* a, nint aRow, nint aDepth, Real* b, nint ldb, in Steps steps, int j, int cols, bool fresh)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TCount : struct, IVectorCount
    {
        var lanes = TLanes.Count;
        var width = TCount.IsTwo ? 2 * lanes : lanes;
        Real* c1 = c + ldc, c2 = c1 + ldc, c3 = c2 + ldc;
        for (; j + width <= cols; j += width)
        {
            TVector s00 = default, s01 = default, s10 = default, s11 = default;
            TVector s20 = default, s21 = default, s30 = default, s31 = default;
            if (!fresh)
            {
                Load<TLanes, TVector, TCount>(c + j, out s00, out s01);
                Load<TLanes, TVector, TCount>(c1 + j, out s10, out s11);
                Load<TLanes, TVector, TCount>(c2 + j, out s20, out s21);
                Load<TLanes, TVector, TCount>(c3 + j, out s30, out s31);
            }
            var d = Math.Clamp(steps.First, 0, steps.AllStart);
            Real* x = a + d * aDepth, y = b + d * ldb + j;
            for (; d < steps.AllStart; d++, x += aDepth, y += ldb)
            {
                Load<TLanes, TVector, TCount>(y, out var y0, out var y1);
                Add<TLanes, TVector, TCount>(x, y0, y1, ref s00, ref s01);
                if (d > steps.First)
                {
                    Add<TLanes, TVector, TCount>(x + aRow, y0, y1, ref s10, ref s11);
                }
                if (d > steps.First + 1)
                {
                    Add<TLanes, TVector, TCount>(x + 2 * aRow, y0, y1, ref s20, ref s21);
                }
            }
            for (; d < steps.AllEnd; d++, x += aDepth, y += ldb)
            {
                Load<TLanes, TVector, TCount>(y, out var y0, out var y1);
                Add<TLanes, TVector, TCount>(x, y0, y1, ref s00, ref s01);
                Add<TLanes, TVector, TCount>(x + aRow, y0, y1, ref s10, ref s11);
                Add<TLanes, TVector, TCount>(x + 2 * aRow, y0, y1, ref s20, ref s21);
                Add<TLanes, TVector, TCount>(x + 3 * aRow, y0, y1, ref s30, ref s31);
            }
            for (; d < steps.End3; d++, x += aDepth, y += ldb)
            {
                Load<TLanes, TVector, TCount>(y, out var y0, out var y1);
                if (d < steps.End1)
                {
                    Add<TLanes, TVector, TCount>(x + aRow, y0, y1, ref s10, ref s11);
                }
                if (d < steps.End2)
                {
                    Add<TLanes, TVector, TCount>(x + 2 * aRow, y0, y1, ref s20, ref s21);
                }
                Add<TLanes, TVector, TCount>(x + 3 * aRow, y0, y1, ref s30, ref s31);
            }
            Store<TLanes, TVector, TCount>(s00, s01, c + j);
            Store<TLanes, TVector, TCount>(s10, s11, c1 + j);
            Store<TLanes, TVector, TCount>(s20, s21, c2 + j);
            Store<TLanes, TVector, TCount>(s30, s31, c3 + j);
        }
        return j;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Load<TLanes, TVector, TCount>(Real* source, out TVector first, out TVector second)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TCount : struct, IVectorCount
    {
        first = TLanes.Load(source);
        second = TCount.IsTwo ? TLanes.Load(source + TLanes.Count) : default;
    }

    /// <summary>sums += x times two vectors, or the first of them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add<TLanes, TVector, TCount>(Real* x, TVector first, TVector second, ref TVector firstSum, ref TVector secondSum)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TCount : struct, IVectorCount
    {
        var all = TLanes.Broadcast(x);
        firstSum = TLanes.FusedMultiplyAdd(all, first, firstSum);
        if (TCount.IsTwo)
        {
            secondSum = TLanes.FusedMultiplyAdd(all, second, secondSum);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<TLanes, TVector, TCount>(TVector first, TVector second, Real* target)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TCount : struct, IVectorCount
    {
        TLanes.Store(first, target);
        if (TCount.IsTwo)
        {
            TLanes.Store(second, target + TLanes.Count);
        }
    }

    /// <summary>The same of two rows over the whole depth.</summary>
    public static void MultiplyPair(Real* c, nint ldc, Real* a, nint aRow, nint aDepth, Real* b, nint ldb, int depth, int cols, bool fresh)
    {
        var j = 0;
        if (Vector512.IsHardwareAccelerated)
        {
            j = MultiplyPair<Lanes512, Vector512<Real>, Two>(c, ldc, a, aRow, aDepth, b, ldb, depth, j, cols, fresh);
            j = MultiplyPair<Lanes512, Vector512<Real>, One>(c, ldc, a, aRow, aDepth, b, ldb, depth, j, cols, fresh);
        }
        j = MultiplyPair<Lanes256, Vector256<Real>, Two>(c, ldc, a, aRow, aDepth, b, ldb, depth, j, cols, fresh);
        MultiplyPair<Lanes256, Vector256<Real>, One>(c, ldc, a, aRow, aDepth, b, ldb, depth, j, cols, fresh);
    }

    private static int MultiplyPair<TLanes, TVector, TCount>(
        Real* c, nint ldc, Real* a, nint aRow, nint aDepth, Real* b, nint ldb, int depth, int j, int cols, bool fresh)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
        where TCount : struct, IVectorCount
    {
        var width = TCount.IsTwo ? 2 * TLanes.Count : TLanes.Count;
        var c1 = c + ldc;
        for (; j + width <= cols; j += width)
        {
            TVector s00 = default, s01 = default, s10 = default, s11 = default;
            if (!fresh)
            {
                Load<TLanes, TVector, TCount>(c + j, out s00, out s01);
                Load<TLanes, TVector, TCount>(c1 + j, out s10, out s11);
            }
            Real* x = a, y = b + j;
            for (var d = 0; d < depth; d++, x += aDepth, y += ldb)
            {
                Load<TLanes, TVector, TCount>(y, out var y0, out var y1);
                Add<TLanes, TVector, TCount>(x, y0, y1, ref s00, ref s01);
                Add<TLanes, TVector, TCount>(x + aRow, y0, y1, ref s10, ref s11);
            }
            Store<TLanes, TVector, TCount>(s00, s01, c + j);
            Store<TLanes, TVector, TCount>(s10, s11, c1 + j);
        }
        return j;
    }

    /// <summary>The same of one row.</summary>
    public static void MultiplyRow(Real* c, Real* a, nint aDepth, Real* b, nint ldb, int depth, int cols, bool fresh)
    {
        var j = 0;
        if (Vector512.IsHardwareAccelerated)
        {
            j = MultiplyRow<Lanes512, Vector512<Real>>(c, a, aDepth, b, ldb, depth, j, cols, fresh);
        }
        MultiplyRow<Lanes256, Vector256<Real>>(c, a, aDepth, b, ldb, depth, j, cols, fresh);
    }

    /// <summary>Four vectors at a time for as many chains, then one.</summary>
    private static int MultiplyRow<TLanes, TVector>(Real* c, Real* a, nint aDepth, Real* b, nint ldb, int depth, int j, int cols, bool fresh)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
    {
        var lanes = TLanes.Count;
        for (; j + 4 * lanes <= cols; j += 4 * lanes)
        {
            TVector s0 = default, s1 = default, s2 = default, s3 = default;
            if (!fresh)
            {
                Load<TLanes, TVector, Two>(c + j, out s0, out s1);
                Load<TLanes, TVector, Two>(c + j + 2 * lanes, out s2, out s3);
            }
            Real* x = a, y = b + j;
            for (var d = 0; d < depth; d++, x += aDepth, y += ldb)
            {
                Add<TLanes, TVector, Two>(x, TLanes.Load(y), TLanes.Load(y + lanes), ref s0, ref s1);
                Add<TLanes, TVector, Two>(x, TLanes.Load(y + 2 * lanes), TLanes.Load(y + 3 * lanes), ref s2, ref s3);
            }
            Store<TLanes, TVector, Two>(s0, s1, c + j);
            Store<TLanes, TVector, Two>(s2, s3, c + j + 2 * lanes);
        }
        for (; j + lanes <= cols; j += lanes)
        {
            var s = fresh ? default : TLanes.Load(c + j);
            Real* x = a, y = b + j;
            for (var d = 0; d < depth; d++, x += aDepth, y += ldb)
            {
                s = TLanes.FusedMultiplyAdd(TLanes.Broadcast(x), TLanes.Load(y), s);
            }
            TLanes.Store(s, c + j);
        }
        return j;
    }

    /// <summary>How many vectors of columns go through a quad together, known when the code is compiled.</summary>
    private interface IVectorCount
    {
        static abstract bool IsTwo { get; }
    }

    private readonly struct One : IVectorCount
    {
        public static bool IsTwo => false;
    }

    private readonly struct Two : IVectorCount
    {
        public static bool IsTwo => true;
    }
}
