using System.Buffers;
using System.Collections;
using System.Runtime.InteropServices;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>
/// Rows of token ids in a <see cref="ScratchFile"/>, each read back when it is asked for. In memory a row costs the 8 bytes of its place,
/// however long it is, so that data may be larger than memory.
/// </summary>
/// <typeparam name="T">What a row is made into.</typeparam>
public sealed class TokenRows<T> : IReadOnlyList<T>, IDisposable
{
    private readonly ScratchFile _file;
    private readonly Func<int, int[][], T> _make;
    private readonly List<long> _ends = []; // of each row, in bytes

    /// <param name="folder">Where the scratch file goes; null for the system's folder for temporary files.</param>
    /// <param name="make">Makes a row of its line and its sequences.</param>
    /// <exception cref="InputException">The folder cannot be written.</exception>
    public TokenRows(string? folder, Func<int, int[][], T> make) => (_file, _make) = (new ScratchFile(folder ?? Path.GetTempPath()), make);

    public int Count => _ends.Count;

    /// <summary>A row, read anew each time: keep it while it is needed.</summary>
    /// <exception cref="InputException">The disk fails.</exception>
    public T this[int index]
    {
        get
        {
            var start = index == 0 ? 0 : _ends[index - 1];
            var length = (int)(_ends[index] - start) / sizeof(int);
            var rented = ArrayPool<int>.Shared.Rent(length);
            try
            {
                var row = rented.AsSpan(0, length);
                _file.ReadExactly(start, MemoryMarshal.AsBytes(row));
                return Parse(row);
            }
            finally
            {
                ArrayPool<int>.Shared.Return(rented);
            }
        }
    }

    /// <exception cref="InputException">The disk is full, or fails.</exception>
    internal void Add(int line, int[][] sequences)
    {
        Append([line, sequences.Length, .. sequences.Select(static s => s.Length)]);
        foreach (var ids in sequences)
        {
            Append(ids);
        }
        _ends.Add(_file.Length);
    }

    public IEnumerator<T> GetEnumerator()
    {
        for (var i = 0; i < Count; i++)
        {
            yield return this[i];
        }
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    public void Dispose() => _file.Dispose();

    private void Append(int[] numbers) => _file.Append(MemoryMarshal.AsBytes(numbers.AsSpan()));

    // Line, number of sequences, the length of each, the ids of all.
    private T Parse(ReadOnlySpan<int> row)
    {
        var sequences = new int[row[1]][];
        var lengths = row.Slice(2, sequences.Length);
        var ids = row[(2 + sequences.Length)..];
        for (var i = 0; i < sequences.Length; i++)
        {
            sequences[i] = ids[..lengths[i]].ToArray();
            ids = ids[lengths[i]..];
        }
        return _make(row[0], sequences);
    }
}
