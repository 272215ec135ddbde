using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

/// <summary>
/// The most bytes a second that a team of threads can move: numbers far more than the caches hold, read alone, or read and written back in
/// place; the faster counts. (A copy is no limit: it also reads what it overwrites, unseen.) A kernel that streams cannot be faster, unless
/// what it reads is still in a cache.
/// </summary>
public static unsafe class MemoryBandwidth
{
    /// <summary>More than the caches of common processors hold.</summary>
    private const int Bytes = 192 * 1024 * 1024;

    /// <summary>A thread's share at a time.</summary>
    private const int Chunk = 256 * 1024;

    private const int Rounds = 2;

    /// <summary>Bytes a second, those read and those written together: the best of some passes, measured now.</summary>
    public static double Measure(WorkerTeam team)
    {
        var memory = (byte*)NativeMemory.AlignedAlloc(Bytes, 64);
        try
        {
            new Span<byte>(memory, Bytes).Clear();
            double best = 0;
            for (var round = 0; round < Rounds; round++)
            {
                var start = Stopwatch.GetTimestamp();
                team.For(Bytes / Chunk, 1, (nint)memory, static (memory, from, to) => Update((Real*)memory, from, to));
                best = Math.Max(best, 2.0 * Bytes / Stopwatch.GetElapsedTime(start).TotalSeconds);
                start = Stopwatch.GetTimestamp();
                team.For(Bytes / Chunk, 1, (nint)memory, static (memory, from, to) => Read((Real*)memory, from, to));
                best = Math.Max(best, Bytes / Stopwatch.GetElapsedTime(start).TotalSeconds);
            }
            return best;
        }
        finally
        {
            NativeMemory.AlignedFree(memory);
        }
    }

    private static void Update(Real* numbers, int from, int to)
    {
        const int each = Chunk / sizeof(Real);
        for (nint i = (nint)from * each; i < (nint)to * each; i += Vector256<Real>.Count)
        {
            (Vector256.LoadAligned(numbers + i) + Vector256<Real>.One).StoreAligned(numbers + i);
        }
    }

    private static void Read(Real* numbers, int from, int to)
    {
        const int each = Chunk / sizeof(Real);
        var (even, odd) = (Vector256<Real>.Zero, Vector256<Real>.Zero);
        for (nint i = (nint)from * each; i < (nint)to * each; i += 2 * Vector256<Real>.Count)
        {
            even += Vector256.LoadAligned(numbers + i);
            odd += Vector256.LoadAligned(numbers + i + Vector256<Real>.Count);
        }
        // The sum goes somewhere, or the loop would be dead.
        GC.KeepAlive(Vector256.Sum(even + odd) > 0 ? null : nameof(MemoryBandwidth));
    }
}
