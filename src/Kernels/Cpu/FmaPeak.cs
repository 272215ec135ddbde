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

    /// <summary>Floating-point operations a second of all threads together (a multiply-add is two), measured now, in some milliseconds.</summary>
    public static double Measure(WorkerTeam team)
    {
        var start = Stopwatch.GetTimestamp();
        team.Run(0, static (_, _) => Keep(Vector512.IsHardwareAccelerated ? Loop512() : Loop256()));
        var lanes = Vector512.IsHardwareAccelerated ? Vector512<Real>.Count : Vector256<Real>.Count;
        return 2.0 * team.Threads * Rounds * Chains * lanes / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    // The sum goes somewhere, or the loop would be dead.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Keep(Real sum) => GC.KeepAlive(sum > 0 ? null : nameof(FmaPeak));

    // acc = acc / 2 + 1 tends to 2: no overflow and no denormal number, which would be slow.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static Real Loop512()
    {
        var (half, one) = (Vector512.Create((Real)0.5), Vector512<Real>.One);
        Vector512<Real> a = one, b = one, c = one, d = one, e = one, f = one, g = one, h = one, i = one, j = one, k = one, l = one;
        for (var round = 0; round < Rounds; round++)
        {
            a = Vector512.FusedMultiplyAdd(a, half, one);
            b = Vector512.FusedMultiplyAdd(b, half, one);
            c = Vector512.FusedMultiplyAdd(c, half, one);
            d = Vector512.FusedMultiplyAdd(d, half, one);
            e = Vector512.FusedMultiplyAdd(e, half, one);
            f = Vector512.FusedMultiplyAdd(f, half, one);
            g = Vector512.FusedMultiplyAdd(g, half, one);
            h = Vector512.FusedMultiplyAdd(h, half, one);
            i = Vector512.FusedMultiplyAdd(i, half, one);
            j = Vector512.FusedMultiplyAdd(j, half, one);
            k = Vector512.FusedMultiplyAdd(k, half, one);
            l = Vector512.FusedMultiplyAdd(l, half, one);
        }
        return Vector512.Sum(a + b + c + d + e + f + g + h + i + j + k + l);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static Real Loop256()
    {
        var (half, one) = (Vector256.Create((Real)0.5), Vector256<Real>.One);
        Vector256<Real> a = one, b = one, c = one, d = one, e = one, f = one, g = one, h = one, i = one, j = one, k = one, l = one;
        for (var round = 0; round < Rounds; round++)
        {
            a = Vector256.FusedMultiplyAdd(a, half, one);
            b = Vector256.FusedMultiplyAdd(b, half, one);
            c = Vector256.FusedMultiplyAdd(c, half, one);
            d = Vector256.FusedMultiplyAdd(d, half, one);
            e = Vector256.FusedMultiplyAdd(e, half, one);
            f = Vector256.FusedMultiplyAdd(f, half, one);
            g = Vector256.FusedMultiplyAdd(g, half, one);
            h = Vector256.FusedMultiplyAdd(h, half, one);
            i = Vector256.FusedMultiplyAdd(i, half, one);
            j = Vector256.FusedMultiplyAdd(j, half, one);
            k = Vector256.FusedMultiplyAdd(k, half, one);
            l = Vector256.FusedMultiplyAdd(l, half, one);
        }
        return Vector256.Sum(a + b + c + d + e + f + g + h + i + j + k + l);
    }
}
