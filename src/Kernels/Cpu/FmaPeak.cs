using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

/// <summary>
/// The most multiply-adds that a team of threads can do: a loop of independent fused multiply-adds that stay in registers. A product cannot
/// be faster, so this is what its speed is measured against.
/// </summary>
public static class FmaPeak
{
    // Enough chains to hide the latency of 4 or 5 cycles on two units; few enough that each accumulator keeps its register.
    private const int Chains = 12;
    private const int Rounds = 200_000;

    /// <summary>The best of some counts: the first is also compiled, and a parked thread takes its time to come.</summary>
    private const int Repeats = 8;

    /// <summary>Floating-point operations a second of all threads together (a multiply-add is two), measured now, in some milliseconds.</summary>
    public static double Measure(WorkerTeam team)
    {
        var lanes = Vector512.IsHardwareAccelerated ? Vector512<Real>.Count : Vector256<Real>.Count;
        double best = 0;
        for (var repeat = 0; repeat < Repeats; repeat++)
        {
            var start = Stopwatch.GetTimestamp();
            team.Run(0, static (_, _) => Keep(
                Vector512.IsHardwareAccelerated ? Loop<Lanes512, Vector512<Real>>() : Loop<Lanes256, Vector256<Real>>()));
            best = Math.Max(best, 2.0 * team.Threads * Rounds * Chains * lanes / Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
        return best;
    }

    // The sum goes somewhere, or the loop would be dead.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Keep(Real sum) => GC.KeepAlive(sum > 0 ? null : nameof(FmaPeak));

    // acc = acc / 2 + 1 tends to 2: no overflow and no denormal number, which would be slow.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe Real Loop<TLanes, TVector>()
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
    {
        var (half, one) = (TLanes.Create((Real)0.5), TLanes.Create(1));
        TVector a = one, b = one, c = one, d = one, e = one, f = one, g = one, h = one, i = one, j = one, k = one, l = one;
        for (var round = 0; round < Rounds; round++)
        {
            a = TLanes.FusedMultiplyAdd(a, half, one);
            b = TLanes.FusedMultiplyAdd(b, half, one);
            c = TLanes.FusedMultiplyAdd(c, half, one);
            d = TLanes.FusedMultiplyAdd(d, half, one);
            e = TLanes.FusedMultiplyAdd(e, half, one);
            f = TLanes.FusedMultiplyAdd(f, half, one);
            g = TLanes.FusedMultiplyAdd(g, half, one);
            h = TLanes.FusedMultiplyAdd(h, half, one);
            i = TLanes.FusedMultiplyAdd(i, half, one);
            j = TLanes.FusedMultiplyAdd(j, half, one);
            k = TLanes.FusedMultiplyAdd(k, half, one);
            l = TLanes.FusedMultiplyAdd(l, half, one);
        }
        // Every chain must reach the result, or it would be dead. Not by a list of them: an array's elements live in memory, and so would the chains.
        a = TLanes.FusedMultiplyAdd(b, c, a);
        d = TLanes.FusedMultiplyAdd(e, f, d);
        g = TLanes.FusedMultiplyAdd(h, i, g);
        j = TLanes.FusedMultiplyAdd(k, l, j);
        a = TLanes.FusedMultiplyAdd(d, g, TLanes.FusedMultiplyAdd(j, half, a));
        var sums = stackalloc Real[TLanes.Count];
        TLanes.Store(a, sums);
        return sums[0];
    }
}
