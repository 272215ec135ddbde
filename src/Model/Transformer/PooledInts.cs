using System.Buffers;

namespace TinyDpo.Models;

/// <summary>A list of known length in an array from the shared pool, for numbers that are on their way to the device.</summary>
internal sealed class PooledInts(int length) : IDisposable
{
    private readonly int[] _array = ArrayPool<int>.Shared.Rent(length);

    /// <summary>How many were added.</summary>
    public int Count { get; private set; }

    /// <summary>All of them, in any order of writing.</summary>
    public Span<int> Values => _array.AsSpan(0, length);

    public void Add(int value) => _array[Count++] = value;

    public void Dispose() => ArrayPool<int>.Shared.Return(_array);
}
