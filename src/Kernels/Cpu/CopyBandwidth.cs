using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

/// <summary>
/// The most bytes a second that a team of threads can move: a copy far larger than the caches. A kernel that streams cannot be faster, unless
/// what it reads is still in a cache.
/// </summary>
public static unsafe class CopyBandwidth
{
    /// <summary>Of the source, and of the destination: more than the caches of common processors hold.</summary>
    private const int Bytes = 128 * 1024 * 1024;

    /// <summary>A thread's share at a time.</summary>
    private const int Chunk = 256 * 1024;

    private const int Rounds = 3;

    /// <summary>Bytes a second, those read and those written together: the best of some copies, measured now.</summary>
    public static double Measure(WorkerTeam team)
    {
        var memory = (byte*)NativeMemory.AlignedAlloc(2 * (nuint)Bytes, 64);
        try
        {
            new Span<byte>(memory, Bytes).Fill(1);
            new Span<byte>(memory + Bytes, Bytes).Fill(2);
            double best = 0;
            for (var round = 0; round < Rounds; round++)
            {
                var start = Stopwatch.GetTimestamp();
                team.For(Bytes / Chunk, 1, (nint)memory, static (memory, from, to) => Copy((byte*)memory + ((nint)from * Chunk), (to - from) * (nint)Chunk));
                best = Math.Max(best, 2.0 * Bytes / Stopwatch.GetElapsedTime(start).TotalSeconds);
            }
            return best;
        }
        finally
        {
            NativeMemory.AlignedFree(memory);
        }
    }

    // With ordinary stores, as the kernels have them: a store that bypasses the caches would also save reading what it overwrites.
    private static void Copy(byte* source, nint length)
    {
        for (nint i = 0; i < length; i += Vector256<byte>.Count)
        {
            Vector256.LoadAligned(source + i).StoreAligned(source + Bytes + i);
        }
    }
}
