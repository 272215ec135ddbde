namespace TinyDpo.Simulator;

/// <summary>
/// The memory of the simulated device: allocations, and beside each a shadow that knows which bytes are in use, written, and by whom.
/// Device addresses are host addresses, aligned to 256 bytes.
/// </summary>
internal sealed class SimulatedMemory : IDisposable
{
    private readonly SortedList<nint, Allocation> _allocations = [];

    private long _nextBlock = 1;

    /// <summary>Bytes allocated and not freed.</summary>
    public long Bytes { get; private set; }

    /// <summary>Allocations that nobody freed, for the leak check.</summary>
    public IReadOnlyList<(nint Address, long Bytes)> Live => [.. _allocations.Values.Select(static a => (a.Address, a.Bytes))];

    /// <summary>What is allocated, by address.</summary>
    public IEnumerable<Allocation> Allocations => _allocations.Values;

    /// <summary>New memory whose contents are undefined; 0 where this machine has no more.</summary>
    public nint Allocate(long bytes)
    {
        Allocation allocation;
        try
        {
            allocation = new Allocation(bytes);
        }
        catch (OutOfMemoryException)
        {
            return 0;
        }
        _allocations.Add(allocation.Address, allocation);
        Bytes += bytes;
        return allocation.Address;
    }

    /// <returns>Whether the address is the start of a live allocation.</returns>
    public bool Free(nint address)
    {
        if (!_allocations.Remove(address, out var allocation))
        {
            return false;
        }
        Bytes -= allocation.Bytes;
        allocation.Dispose();
        return true;
    }

    /// <summary>The pool hands the range out: from now on it may be used, and what stands there is undefined.</summary>
    public void MarkRented(nint address, long bytes) => Find(address, bytes)?.Mark(address, bytes, 0);

    /// <summary>The pool took the range back: from now on its use is an error.</summary>
    public void MarkReturned(nint address, long bytes) => Find(address, bytes)?.Mark(address, bytes, Allocation.Returned);

    /// <exception cref="SimulationException">The range is not in use, or part of it was never written; the message begins with <paramref name="what"/>.</exception>
    public void RequireReadable(nint address, long bytes, string what) => Require(address, bytes, what, written: true);

    /// <exception cref="SimulationException">The range is not in use.</exception>
    public void RequireWritable(nint address, long bytes, string what) => Require(address, bytes, what, written: false);

    /// <summary>After a write from outside a kernel (copies, fills, cuBLAS): the range counts as written.</summary>
    public void MarkWritten(nint address, long bytes) => Find(address, bytes)?.MarkWritten(address, bytes);

    /// <summary>The allocation that holds the whole range; null if there is none.</summary>
    public Allocation? Find(nint address, long bytes)
    {
        var (low, high) = (0, _allocations.Count - 1);
        while (low <= high)
        {
            var middle = (low + high) / 2;
            var allocation = _allocations.Values[middle];
            if (allocation.Contains(address, bytes))
            {
                return allocation;
            }
            if (address < allocation.Address)
            {
                high = middle - 1;
            }
            else
            {
                low = middle + 1;
            }
        }
        return null;
    }

    /// <summary>Numbers for the blocks of a launch, higher than all before: the first of them.</summary>
    public long TakeBlockNumbers(long count)
    {
        if (count >= GlobalStamp.MaxBlocks - _nextBlock)
        {
            foreach (var allocation in _allocations.Values)
            {
                allocation.Forget();
            }
            _nextBlock = 1;
        }
        var first = _nextBlock;
        _nextBlock += count;
        return first;
    }

    /// <summary>Where an address lies, for messages.</summary>
    public string Describe(nint address)
    {
        if (address is >= 0 and < 4096)
        {
            return $"address {address} (a null pointer)";
        }
        var below = _allocations.Values.LastOrDefault(a => a.Address <= address);
        return below is null ? $"address 0x{address:x}, before all memory"
            : address < below.Address + below.Bytes ? $"byte {address - below.Address} of an allocation of {below.Bytes}"
            : $"address 0x{address:x}, {address - below.Address - below.Bytes} bytes past the end of an allocation of {below.Bytes}";
    }

    public void Dispose()
    {
        foreach (var allocation in _allocations.Values)
        {
            allocation.Dispose();
        }
        _allocations.Clear();
        Bytes = 0;
    }

    private void Require(nint address, long bytes, string what, bool written)
    {
        if (bytes == 0)
        {
            return;
        }
        if (Find(address, bytes) is not { } allocation)
        {
            throw new SimulationException($"{what}: {bytes} bytes from {Describe(address)} on are not all allocated");
        }
        var at = allocation.FirstUnusable(address, bytes, written);
        if (at < address + bytes)
        {
            var state = allocation.FirstUnusable(at, 1, written: false) == at ? "has been given back" : "was never written";
            throw new SimulationException($"{what}: byte {at - address} of {bytes} ({Describe(at)}) {state}");
        }
    }
}
