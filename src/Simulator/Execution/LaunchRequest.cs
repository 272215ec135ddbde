using TinyDpo.Kernels;

namespace TinyDpo.Simulator;

internal readonly record struct Dim3(int X, int Y, int Z)
{
    public long Count => (long)X * Y * Z;
}

/// <summary>One kernel launch, as cuLaunchKernel got it.</summary>
/// <param name="Kernel">The entry's name.</param>
/// <param name="Grid">Blocks.</param>
/// <param name="Block">Threads of a block.</param>
/// <param name="DynamicSharedBytes">Bytes of dynamic shared memory.</param>
/// <param name="Parameters">The parameter block, laid out as the PTX declares it.</param>
/// <param name="Extents">What the launcher says the kernel may touch; null where it said nothing, then live memory is the bound.</param>
internal sealed record LaunchRequest(string Kernel, Dim3 Grid, Dim3 Block, int DynamicSharedBytes, byte[] Parameters, PointerExtent[]? Extents);
