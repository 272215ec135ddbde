namespace TinyDpo.Simulator;

/// <summary>
/// The memory of the simulated device: allocations, and beside each a shadow that knows which bytes are in use, written, and by whom.
/// Device addresses are host addresses, aligned to 256 bytes.
/// </summary>
internal sealed class SimulatedMemory : IDisposable
{
    /// <summary>Bytes allocated and not freed.</summary>
    public long Bytes => throw new NotImplementedException();

    /// <summary>Allocations that nobody freed, for the leak check.</summary>
    public IReadOnlyList<(nint Address, long Bytes)> Live => throw new NotImplementedException();

    /// <summary>New memory whose contents are undefined; 0 where the limit does not allow it.</summary>
    public nint Allocate(long bytes) => throw new NotImplementedException();

    /// <returns>Whether the address is the start of a live allocation.</returns>
    public bool Free(nint address) => throw new NotImplementedException();

    /// <summary>The pool hands the range out: from now on it may be used, and what stands there is undefined.</summary>
    public void MarkRented(nint address, long bytes) => throw new NotImplementedException();

    /// <summary>The pool took the range back: from now on its use is an error.</summary>
    public void MarkReturned(nint address, long bytes) => throw new NotImplementedException();

    /// <exception cref="SimulationException">The range is not in use, or part of it was never written; the message begins with <paramref name="what"/>.</exception>
    public void RequireReadable(nint address, long bytes, string what) => throw new NotImplementedException();

    /// <exception cref="SimulationException">The range is not in use.</exception>
    public void RequireWritable(nint address, long bytes, string what) => throw new NotImplementedException();

    /// <summary>After a write from outside a kernel (copies, fills, cuBLAS): the range counts as written.</summary>
    public void MarkWritten(nint address, long bytes) => throw new NotImplementedException();

    public void Dispose() => throw new NotImplementedException();
}
