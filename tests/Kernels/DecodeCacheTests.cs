using TinyDpo.Kernels;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

/// <summary>The CPU's key/value cache through the backend: tokens appended one by one to sequences of several blocks, then attended to.</summary>
public class DecodeCacheTests
{
    [TestCase(4, 2, 8, null)]
    [TestCase(3, 3, 6, null)]
    [TestCase(4, 1, 16, 50)]
    public unsafe void AppendedTokensAreThoseThatAreAttendedTo(int heads, int kvHeads, int headSize, int? window)
    {
        const int capacity = 128;
        int[] lengths = [1, 64, 65, 128];
        var shape = new AttentionShape(heads, kvHeads, headSize, window);
        var width = shape.KeyValueWidth;
        using var backend = PoisonedBackend.Create(threads: 3);
        using var scope = new MemoryScope(backend);
        var (keyCache, valueCache) = (backend.Memory.Rent(lengths.Length * capacity * width), backend.Memory.Rent(lengths.Length * capacity * width));
        var (keys, values) = (Random(0, lengths.Length * capacity * width), Random(1, lengths.Length * capacity * width));
        for (var step = 0; step < capacity; step++)
        {
            // Sequences that are whole put their last token once more where it is.
            int[] now = [.. lengths.Select(n => Math.Min(n, step + 1))];
            backend.AppendCache(Put(Tokens(keys, now)), Put(Tokens(values, now)), OpTable.Index(backend, now), lengths.Length, capacity, width, keyCache, valueCache);
        }
        var queries = Random(2, lengths.Length * shape.QueryWidth);
        var output = Tensor.Uninitialised(backend, Shape.Vector(queries.Length));
        backend.DecodeAttention(shape, Put(queries), keyCache, valueCache, OpTable.Index(backend, lengths), lengths.Length, capacity, output.Data);
        var (actual, expected) = (output.ToArray(), new Real[queries.Length]);
        fixed (int* n = lengths)
        fixed (Real* q = queries, k = keys, v = values, o = expected)
        {
            DecodeAttention.ForwardReference(
                lengths.Length, n, heads, kvHeads, headSize, shape.Scale, q, shape.QueryWidth, k, width, capacity * width, v, width, capacity * width, o,
                shape.QueryWidth, window);
        }
        for (var i = 0; i < actual.Length; i++)
        {
            Assert.That(actual[i], Is.EqualTo(expected[i]).Within((capacity + headSize) * (Real.BitIncrement(1) - 1)), $"element {i}");
        }

        // The last of so many tokens of each sequence.
        Real[] Tokens(Real[] all, int[] counts) =>
            [.. counts.SelectMany((count, s) => all.AsSpan(((s * capacity) + count - 1) * width, width).ToArray())];

        DeviceBuffer Put(Real[] numbers) => Tensor.From(backend, Shape.Vector(numbers.Length), numbers).Data;
    }

    [Test]
    public void ACapacityOfPartOfABlockIsRefused()
    {
        using var backend = new CpuBackend(1);
        using var scope = new MemoryScope(backend);
        var (x, cache, lengths) = (backend.Memory.Rent(4), backend.Memory.Rent(4 * 65), OpTable.Index(backend, [1]));
        Assert.That(() => backend.AppendCache(x, x, lengths, 1, 65, 4, cache, cache), Throws.ArgumentException);
        Assert.That(() => backend.DecodeAttention(new AttentionShape(1, 1, 4), x, cache, cache, lengths, 1, 65, x), Throws.ArgumentException);
    }

    private static Real[] Random(int stream, int count) => Array.ConvertAll(TinyModels.Random(12, stream, count), static v => (Real)v);
}
