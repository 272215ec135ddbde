namespace TinyDpo.Kernels;

/// <summary>A thread's own scratch memory: it grows to the largest request, and goes with the thread.</summary>
internal static unsafe class Workspace
{
    private const int Alignment = 64;

    [ThreadStatic]
    private static byte[]?[]? blocks;

    /// <summary>
    /// <paramref name="elements"/> uninitialised elements, aligned to 64 bytes, valid on any thread until the calling thread asks for the
    /// same slot again. Slots (0, 1, ...) are apart from each other.
    /// </summary>
    public static Real* Get(int slot, nint elements)
    {
        blocks ??= new byte[]?[3];
        var bytes = checked((int)((elements * sizeof(Real)) + Alignment));
        if (blocks[slot] is not { } block || block.Length < bytes)
        {
            // Pinned, so that the address holds without a handle or a finalizer.
            block = blocks[slot] = GC.AllocateUninitializedArray<byte>(bytes, pinned: true);
        }
        fixed (byte* start = block)
        {
            return (Real*)(((nuint)start + Alignment - 1) & ~(nuint)(Alignment - 1));
        }
    }
}
