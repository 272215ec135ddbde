namespace TinyDpo.Kernels;

/// <summary>
/// A block of page-locked memory through which all host copies go: an asynchronous copy from memory that the garbage collector moves, or
/// that its owner overwrites, would read whatever stands there later. Space is handed out once, and again after a synchronisation.
/// </summary>
internal sealed unsafe class PinnedStaging(ICudaDriver driver, Action synchronise) : IDisposable
{
    /// <summary>Bytes of the block; larger copies go in pieces.</summary>
    public const int Capacity = 4 * 1024 * 1024;

    private nint _block;
    private int _used;

    /// <summary>Space for at most <see cref="Capacity"/> bytes, good until the stream has been synchronised.</summary>
    public byte* Take(int bytes)
    {
        if (_block == 0)
        {
            CudaBackend.Check(driver, driver.cuMemAllocHost(out _block, Capacity), nameof(driver.cuMemAllocHost));
        }
        if (_used + bytes > Capacity)
        {
            synchronise();
        }
        var place = (byte*)_block + _used;
        _used += (bytes + 63) / 64 * 64;
        return place;
    }

    /// <summary>After a synchronisation: no copy uses the block any more.</summary>
    public void Reset() => _used = 0;

    public void Dispose()
    {
        if (_block != 0)
        {
            _ = driver.cuMemFreeHost(_block);
            _block = 0;
        }
    }
}
