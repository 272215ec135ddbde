namespace TinyDpo.Kernels;

/// <summary>
/// The memory of one backend: a pool, the stack of scopes, and a count of what is out. Two lifetimes: <see cref="Allocate"/> for
/// parameters and optimiser state, <see cref="Rent"/> for what belongs to a step.
/// </summary>
/// <param name="pool">Where the blocks come from.</param>
/// <param name="observer">Is told which part of which block is in use; null for nobody.</param>
public sealed class DeviceMemoryManager(BufferPool pool, IMemoryObserver? observer = null) : IDisposable
{
    /// <summary>The innermost open scope.</summary>
    public MemoryScope? Current { get; internal set; }

    /// <summary>Buffers rented and not yet given back: the same after every step, else something leaks.</summary>
    public int Outstanding { get; private set; }

    /// <summary>Bytes of those buffers.</summary>
    public long OutstandingBytes { get; private set; }

    /// <summary>Bytes held on the device, in use or pooled: where nothing is trimmed, the most that were ever needed.</summary>
    public long Bytes => pool.Bytes;

    /// <summary>Set by tests: fresh memory is filled with a NaN pattern, so that a kernel which reads what nobody wrote shows.</summary>
    public Action<DeviceMemory>? Poison { get; set; }

    /// <summary>Uninitialised numbers that live as long as the innermost scope.</summary>
    public DeviceBuffer Rent(int length)
    {
        var scope = RequireScope();
        var buffer = Numbers(length, ownClass: false);
        scope.Own(buffer);
        return buffer;
    }

    /// <summary>Uninitialised integers that live as long as the innermost scope.</summary>
    public IndexBuffer RentIndex(int length)
    {
        var scope = RequireScope();
        var (address, capacity) = Take(length, sizeof(int), ownClass: false);
        var buffer = new IndexBuffer(address, length, capacity);
        scope.Own(buffer);
        return buffer;
    }

    /// <summary>Uninitialised numbers that live until <see cref="Return"/>, or as long as the backend: never in a block of twice their size.</summary>
    public DeviceBuffer Allocate(int length) => Numbers(length, ownClass: true);

    /// <summary>Gives a buffer back before its time; a second call does nothing. Views own nothing and are ignored.</summary>
    public void Return(DeviceMemory memory)
    {
        if (memory.Capacity == 0 || memory.Returned)
        {
            return;
        }
        var address = memory.MarkReturned();
        observer?.Returned(address, (long)memory.Capacity);
        pool.Give(address, memory.Capacity);
        Outstanding--;
        OutstandingBytes -= (long)memory.Capacity;
    }

    public void Dispose() => pool.Dispose();

    private DeviceBuffer Numbers(int length, bool ownClass)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        var (address, capacity) = Take(length, sizeof(Real), ownClass);
        var buffer = new DeviceBuffer(address, length, capacity);
        Poison?.Invoke(buffer);
        return buffer;
    }

    private (nint Address, nuint Capacity) Take(int length, int elementBytes, bool ownClass)
    {
        var block = pool.Take((nuint)length * (nuint)elementBytes, ownClass);
        observer?.Rented(block.Address, (long)length * elementBytes);
        Outstanding++;
        OutstandingBytes += (long)block.Capacity;
        return block;
    }

    private MemoryScope RequireScope() =>
        Current ?? throw new InvalidOperationException("no StepScope is open: tensors of a step need `using var step = new StepScope(backend)`");
}
