namespace TinyDpo.Kernels;

/// <summary>
/// A handle to device memory. Each rental has a handle of its own, so one that outlives its scope is caught when it is used, even though
/// the memory behind it already serves somebody else.
/// </summary>
public abstract class DeviceMemory
{
    private readonly nint _address;
    private readonly DeviceMemory? _parent;
    private bool _returned;

    private protected DeviceMemory(nint address, int length, nuint capacity, DeviceMemory? parent = null)
    {
        _address = address;
        _parent = parent;
        Length = length;
        Capacity = capacity;
    }

    /// <summary>Number of elements.</summary>
    public int Length { get; }

    /// <summary>Whether the memory has gone back to its pool.</summary>
    public bool Returned => _returned || (_parent?.Returned ?? false);

    /// <summary>Bytes of the block behind this handle, for the pool that takes it back.</summary>
    internal nuint Capacity { get; }

    /// <summary>The address on the device: a pointer on the CPU, a CUdeviceptr on CUDA.</summary>
    /// <exception cref="InvalidOperationException">The scope that owned the memory has ended.</exception>
    public nint Address => Returned
        ? throw new InvalidOperationException("a buffer was used after its StepScope ended or its op's backward consumed it")
        : _address;

    internal nint MarkReturned()
    {
        _returned = true;
        return _address;
    }
}

/// <summary>Real numbers in device memory.</summary>
public sealed class DeviceBuffer : DeviceMemory
{
    internal DeviceBuffer(nint address, int length, nuint capacity, DeviceMemory? parent = null)
        : base(address, length, capacity, parent)
    {
    }

    /// <summary>A view of [offset, offset + length): it owns nothing and lives as long as this buffer.</summary>
    public DeviceBuffer Slice(int offset, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((long)offset + length, Length, nameof(length));
        return new DeviceBuffer(Address + ((nint)offset * sizeof(Real)), length, 0, this);
    }
}

/// <summary>32-bit integers in device memory: token ids, positions, row indices.</summary>
public sealed class IndexBuffer : DeviceMemory
{
    internal IndexBuffer(nint address, int length, nuint capacity)
        : base(address, length, capacity)
    {
    }
}
