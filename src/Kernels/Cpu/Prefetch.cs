using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace TinyDpo.Kernels;

/// <summary>Asks a cache for a line that will be read soon, where the processor can be asked; past the end of memory it does no harm.</summary>
internal static unsafe class Prefetch
{
    /// <summary>Elements of a line of 64 bytes.</summary>
    public const int Line = 64 / sizeof(Real);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void ToLevel1(void* address)
    {
        if (Sse.IsSupported)
        {
            Sse.Prefetch0(address);
        }
    }

    /// <summary>Asks for what a loop that goes up through memory comes to 2 KiB later: hardware foresees no more than the page it is in.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Stream(Real* here) => ToLevel2((byte*)here + 2048);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void ToLevel2(void* address)
    {
        if (Sse.IsSupported)
        {
            Sse.Prefetch1(address);
        }
    }
}
