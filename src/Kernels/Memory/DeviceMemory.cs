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

    /// <exception cref="ArgumentException">The buffer is shorter than a kernel needs.</exception>
    internal static void RequireLength(DeviceMemory buffer, long length)
    {
        if (buffer.Length < length)
        {
            throw new ArgumentException($"a buffer of {buffer.Length} elements where the kernel needs {length}");
        }
    }

    /// <summary>An addend of a product, if there is one, has room for the result [m, n] and lies elsewhere.</summary>
    /// <exception cref="ArgumentException">It has not, or lies in c, or the product accumulates.</exception>
    internal static void RequireAddend(DeviceMemory? addend, DeviceMemory c, int m, int n, bool accumulate)
    {
        if (addend is null)
        {
            return;
        }
        RequireLength(addend, (long)m * n);
        if (accumulate)
        {
            throw new ArgumentException("a product that accumulates takes no addend");
        }
        if (Math.Abs(addend.Address - c.Address) < (long)m * n * sizeof(Real))
        {
            throw new ArgumentException("the addend of a product overlaps its result");
        }
    }

    // A shorter source would leave the rest as the pool had it.
    internal static void RequireEqualLength(DeviceMemory buffer, int length)
    {
        if (buffer.Length != length)
        {
            throw new ArgumentException($"{length} values for a buffer of {buffer.Length} elements");
        }
    }

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

    /// <summary>This matrix once more, for as long as a scope lasts: see <see cref="IBackend.KeepPacked"/>. Views have their own.</summary>
    internal PackedOperand? Packed { get; set; }

    /// <summary>A view of [offset, offset + length): it owns nothing and lives as long as this buffer.</summary>
    public DeviceBuffer Slice(int offset, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((long)offset + length, Length, nameof(length));
        return new DeviceBuffer(Address + ((nint)offset * sizeof(Real)), length, 0, this);
    }
}

/// <summary>A matrix [n, k] in the form in which a backend's products read it as a transposed right operand.</summary>
internal sealed record PackedOperand(DeviceBuffer Panels, int N, int K);

/// <summary>32-bit integers in device memory: token ids, positions, row indices.</summary>
public sealed class IndexBuffer : DeviceMemory
{
    internal IndexBuffer(nint address, int length, nuint capacity)
        : base(address, length, capacity)
    {
    }

    /// <summary>What stands on the device, where a backend keeps it: kernels cannot refuse a bad index, so the host looks first.</summary>
    internal int[]? HostCopy { get; set; }

    /// <exception cref="ArgumentException">An index is not in [0, limit).</exception>
    internal static void RequireRange(ReadOnlySpan<int> indices, int limit)
    {
        foreach (var value in indices)
        {
            if ((uint)value >= (uint)limit)
            {
                throw new ArgumentException($"row {value} of a table of {limit} rows");
            }
        }
    }

    /// <exception cref="ArgumentException">The offsets of segments do not ascend from 0 to <paramref name="length"/>.</exception>
    internal static void RequireOffsets(ReadOnlySpan<int> offsets, int length)
    {
        if (offsets.Length == 0 || offsets[0] != 0 || offsets[^1] != length)
        {
            throw new ArgumentException($"segment offsets must run from 0 to {length}");
        }
        for (var s = 1; s < offsets.Length; s++)
        {
            if (offsets[s] < offsets[s - 1])
            {
                throw new ArgumentException($"segment offsets must ascend: entry {s} is {offsets[s]} after {offsets[s - 1]}");
            }
        }
    }

    /// <exception cref="ArgumentException">A sequence's length does not fit its cache.</exception>
    internal static void RequireCacheLengths(ReadOnlySpan<int> lengths, int capacity)
    {
        for (var s = 0; s < lengths.Length; s++)
        {
            if (lengths[s] < 1 || lengths[s] > capacity)
            {
                throw new ArgumentException($"sequence {s} of length {lengths[s]} in a cache of capacity {capacity}");
            }
        }
    }
}
