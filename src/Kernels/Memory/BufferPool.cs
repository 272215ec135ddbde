using System.Numerics;

namespace TinyDpo.Kernels;

/// <summary>
/// Keeps freed blocks by size class, so that a steady step allocates nothing. Classes are four to a power of two: at most a quarter of a
/// block is slack. Where its own class has no free block, a request takes one of up to twice its size, so that batches of other lengths
/// share their blocks, before it asks the device for more; unless it is for long.
/// </summary>
/// <param name="allocate">Takes bytes from the device, aligned to 64.</param>
/// <param name="free">Gives a block back to the device.</param>
public sealed class BufferPool(Func<nuint, nint> allocate, Action<nint> free) : IDisposable
{
    private readonly Dictionary<nuint, Stack<nint>> _free = [];
    private readonly HashSet<nint> _all = [];

    /// <summary>Bytes taken from the device, in use or kept for reuse.</summary>
    public long Bytes { get; private set; }

    /// <summary>Whether there are blocks that nobody uses.</summary>
    public bool HasFree => _free.Values.Any(static blocks => blocks.Count > 0);

    /// <param name="bytes">How many are needed.</param>
    /// <param name="ownClass">No larger block will do: for what is kept so long that its slack would be missed.</param>
    public (nint Address, nuint Capacity) Take(nuint bytes, bool ownClass)
    {
        var capacity = SizeClass(bytes);
        for (var fit = capacity; fit <= (ownClass ? capacity : 2 * capacity); fit = SizeClass(fit + 1))
        {
            if (_free.TryGetValue(fit, out var blocks) && blocks.TryPop(out var free))
            {
                return (free, fit);
            }
        }
        var address = allocate(capacity);
        _all.Add(address);
        Bytes += (long)capacity;
        return (address, capacity);
    }

    public void Give(nint address, nuint capacity)
    {
        if (!_free.TryGetValue(capacity, out var blocks))
        {
            _free.Add(capacity, blocks = new Stack<nint>());
        }
        blocks.Push(address);
    }

    /// <summary>Gives the blocks that nobody uses back to the device, which must have no work left on them.</summary>
    public void Trim()
    {
        foreach (var (capacity, blocks) in _free)
        {
            while (blocks.TryPop(out var address))
            {
                _all.Remove(address);
                Bytes -= (long)capacity;
                free(address);
            }
        }
    }

    public void Dispose()
    {
        foreach (var address in _all)
        {
            free(address);
        }
        _all.Clear();
        _free.Clear();
    }

    private static nuint SizeClass(nuint bytes)
    {
        if (bytes <= 256)
        {
            return 256;
        }
        var quarter = (nuint)BitOperations.RoundUpToPowerOf2((ulong)bytes) / 8;
        return (bytes + quarter - 1) / quarter * quarter;
    }
}
