namespace TinyDpo.Kernels;

/// <summary>Is told which memory of a pool is in use, so that it can check what the pool hides: blocks are reused, not freed.</summary>
public interface IMemoryObserver
{
    /// <summary>[address, address + bytes) may be used from now on; what stands there is undefined.</summary>
    void Rented(nint address, long bytes);

    /// <summary>[address, address + bytes) may not be used any more.</summary>
    void Returned(nint address, long bytes);
}
