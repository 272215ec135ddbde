using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

/// <summary>
/// The 6 x 2 vectors tile of C: 12 accumulators, two vectors of B and one element of A at a time. All that 16 registers hold; with 32 it is for the
/// columns that <see cref="GemmTile512"/> leaves over.
/// </summary>
internal static unsafe class GemmTile<TLanes, TVector>
    where TLanes : struct, ILanes<TVector>
    where TVector : struct
{
    public const int Rows = 6;

    public static int Columns => 2 * Lanes;

    private static int Lanes => TLanes.Count;

    /// <summary>See <see cref="GemmKernel.Tile"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(int depth, Real* a, nint rowStride, nint stepStride, Real* b, Real alpha, bool accumulate, Real* c, nint ldc, nint toAddend,
        in GemmAhead ahead)
    {
        TVector c00 = default, c01 = default;
        TVector c10 = default, c11 = default;
        TVector c20 = default, c21 = default;
        TVector c30 = default, c31 = default;
        TVector c40 = default, c41 = default;
        TVector c50 = default, c51 = default;
        TVector b0, b1;
        var twoRows = 2 * rowStride;
        var a3 = a + (3 * rowStride);
        // One of A's strides is 1 and goes into the instructions; two steps at a time. What is not multiply-adds is what this loop can save.
        var pairs = b + ((nint)(depth / 2) * 4 * Lanes);
        var requests = new GemmRequests(c, ldc, toAddend, Lanes, b, ahead);
        if (rowStride == 1)
        {
            // In bytes, which the instructions need not scale.
            var step = stepStride * sizeof(Real);
            while (b < pairs)
            {
                requests.Next(wide: false);
                for (var end = GemmRequests.End(b, 2 * Lanes, pairs); b < end; b += 4 * Lanes)
                {
                    b0 = TLanes.Load(b);
                    b1 = TLanes.Load(b + Lanes);
                    Add(a, b0, b1, ref c00, ref c01);
                    Add(a + 1, b0, b1, ref c10, ref c11);
                    Add(a + 2, b0, b1, ref c20, ref c21);
                    Add(a + 3, b0, b1, ref c30, ref c31);
                    Add(a + 4, b0, b1, ref c40, ref c41);
                    Add(a + 5, b0, b1, ref c50, ref c51);
                    a = GemmRequests.NextStep(a, step);
                    b0 = TLanes.Load(b + (2 * Lanes));
                    b1 = TLanes.Load(b + (3 * Lanes));
                    Add(a, b0, b1, ref c00, ref c01);
                    Add(a + 1, b0, b1, ref c10, ref c11);
                    Add(a + 2, b0, b1, ref c20, ref c21);
                    Add(a + 3, b0, b1, ref c30, ref c31);
                    Add(a + 4, b0, b1, ref c40, ref c41);
                    Add(a + 5, b0, b1, ref c50, ref c51);
                    a = GemmRequests.NextStep(a, step);
                }
            }
            a3 = a + (3 * rowStride);
        }
        else
        {
            while (b < pairs)
            {
                requests.Next(wide: false);
                for (var end = GemmRequests.End(b, 2 * Lanes, pairs); b < end; b += 4 * Lanes)
                {
                    b0 = TLanes.Load(b);
                    b1 = TLanes.Load(b + Lanes);
                    Add(a, b0, b1, ref c00, ref c01);
                    Add(a + rowStride, b0, b1, ref c10, ref c11);
                    Add(a + twoRows, b0, b1, ref c20, ref c21);
                    Add(a3, b0, b1, ref c30, ref c31);
                    Add(a3 + rowStride, b0, b1, ref c40, ref c41);
                    Add(a3 + twoRows, b0, b1, ref c50, ref c51);
                    b0 = TLanes.Load(b + (2 * Lanes));
                    b1 = TLanes.Load(b + (3 * Lanes));
                    Add(a + 1, b0, b1, ref c00, ref c01);
                    Add(a + rowStride + 1, b0, b1, ref c10, ref c11);
                    Add(a + twoRows + 1, b0, b1, ref c20, ref c21);
                    Add(a3 + 1, b0, b1, ref c30, ref c31);
                    Add(a3 + rowStride + 1, b0, b1, ref c40, ref c41);
                    Add(a3 + twoRows + 1, b0, b1, ref c50, ref c51);
                    a += 2;
                    a3 += 2;
                }
            }
        }
        if (depth % 2 != 0)
        {
            b0 = TLanes.Load(b);
            b1 = TLanes.Load(b + Lanes);
            Add(a, b0, b1, ref c00, ref c01);
            Add(a + rowStride, b0, b1, ref c10, ref c11);
            Add(a + twoRows, b0, b1, ref c20, ref c21);
            Add(a3, b0, b1, ref c30, ref c31);
            Add(a3 + rowStride, b0, b1, ref c40, ref c41);
            Add(a3 + twoRows, b0, b1, ref c50, ref c51);
        }
        var scale = TLanes.Create(alpha);
        Store(c, c00, c01, scale, accumulate, toAddend);
        Store(c + ldc, c10, c11, scale, accumulate, toAddend);
        Store(c + (2 * ldc), c20, c21, scale, accumulate, toAddend);
        Store(c + (3 * ldc), c30, c31, scale, accumulate, toAddend);
        Store(c + (4 * ldc), c40, c41, scale, accumulate, toAddend);
        Store(c + (5 * ldc), c50, c51, scale, accumulate, toAddend);
    }

    /// <summary>The same for a tile of one row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void MultiplyRow(int depth, Real* a, nint rowStride, nint stepStride, Real* b, Real alpha, bool accumulate, Real* c, nint ldc, nint toAddend,
        in GemmAhead ahead)
    {
        TVector c00 = default, c01 = default;
        for (var p = 0; p < depth; p++)
        {
            var x = TLanes.Broadcast(a);
            c00 = TLanes.FusedMultiplyAdd(x, TLanes.Load(b), c00);
            c01 = TLanes.FusedMultiplyAdd(x, TLanes.Load(b + Lanes), c01);
            a += stepStride;
            b += 2 * Lanes;
        }
        Store(c, c00, c01, TLanes.Create(alpha), accumulate, toAddend);
    }

    /// <summary>sums += *x times two vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(Real* x, TVector b0, TVector b1, ref TVector sum0, ref TVector sum1)
    {
        var all = TLanes.Broadcast(x);
        sum0 = TLanes.FusedMultiplyAdd(all, b0, sum0);
        sum1 = TLanes.FusedMultiplyAdd(all, b1, sum1);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Real* c, TVector sum0, TVector sum1, TVector scale, bool accumulate, nint toAddend)
    {
        Store(c, sum0, scale, accumulate, toAddend);
        Store(c + Lanes, sum1, scale, accumulate, toAddend);
    }

    /// <summary>A vector of C from its sums, see <see cref="GemmKernel.Tile"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Real* c, TVector sum, TVector scale, bool accumulate, nint toAddend)
    {
        var value = accumulate ? TLanes.FusedMultiplyAdd(scale, sum, TLanes.Load(c)) : TLanes.Multiply(scale, sum);
        TLanes.Store(toAddend == 0 ? value : TLanes.Add(value, TLanes.Load(c + toAddend)), c);
    }
}
