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
    private readonly Stack<nint>?[] _free = new Stack<nint>?[4 * 64]; // of each class
    private readonly HashSet<nint> _all = [];

    /// <summary>Bytes taken from the device, in use or kept for reuse.</summary>
    public long Bytes { get; private set; }

    /// <summary>Whether there are blocks that nobody uses.</summary>
    public bool HasFree => _free.Any(static blocks => blocks is { Count: > 0 });

    /// <param name="bytes">How many are needed.</param>
    /// <param name="ownClass">No larger block will do: for what is kept so long that its slack would be missed.</param>
    public (nint Address, nuint Capacity) Take(nuint bytes, bool ownClass)
    {
        var own = Class(bytes);
        // The fourth class above is twice the size.
        for (var fit = own; fit <= (ownClass ? own : own + 4); fit++)
        {
            if (_free[fit] is { } blocks && blocks.TryPop(out var free))
            {
                return (free, Capacity(fit));
            }
        }
        var capacity = Capacity(own);
        var address = allocate(capacity);
        _all.Add(address);
        Bytes += (long)capacity;
        return (address, capacity);
    }

    public void Give(nint address, nuint capacity) => (_free[Class(capacity)] ??= new Stack<nint>()).Push(address);

    /// <summary>Gives the blocks that nobody uses back to the device, which must have no work left on them.</summary>
    public void Trim()
    {
        for (var sizeClass = 0; sizeClass < _free.Length; sizeClass++)
        {
            while (_free[sizeClass] is { } blocks && blocks.TryPop(out var address))
            {
                _all.Remove(address);
                Bytes -= (long)Capacity(sizeClass);
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
        Array.Clear(_free);
    }

    /// <summary>The smallest class with room for so many bytes: class 4 e + q holds 256 * 2^e bytes and q quarters more.</summary>
    private static int Class(nuint bytes)
    {
        if (bytes <= 256)
        {
            return 0;
        }
        var last = bytes - 1;
        var power = BitOperations.Log2(last);
        return (4 * (power - 8)) + (int)((last >> (power - 2)) & 3) + 1;
    }

    private static nuint Capacity(int sizeClass) => (nuint)(4 + (sizeClass % 4)) << (6 + (sizeClass / 4));
}
