using System.Buffers;
using System.Buffers.Binary;
using System.Text.Json;

namespace TinyDpo.Models;

/// <summary>Fills <paramref name="destination"/> with a tensor's values, row-major, from number <paramref name="start"/> on.</summary>
public delegate void ReadValues(int start, Span<Real> destination);

/// <summary>
/// Writes safetensors files as Hugging Face's tools read them: float32 in either precision unless asked otherwise, tensors in the order
/// given, the header padded with spaces to a multiple of 8.
/// </summary>
public static class SafetensorsWriter
{
    /// <summary>The format that keeps every bit: F64 in the double build, else F32.</summary>
    public static NumberFormat Exact => StoredNumbers.Exact;

    private static readonly Dictionary<string, string> DefaultMetadata = new() { ["format"] = "pt" };

    /// <summary>Writes tensors that lie in managed memory.</summary>
    /// <param name="path">Written whole or not at all, see <see cref="AtomicFile"/>.</param>
    /// <param name="tensors">Each with as many values as its shape says.</param>
    /// <param name="metadata">{"format": "pt"} unless given, which transformers asks for.</param>
    /// <param name="format">Of every number.</param>
    /// <exception cref="InputException">The file cannot be written, or a finite number is beyond the format's range.</exception>
    public static void Write(string path, IReadOnlyList<(string Name, int[] Shape, ReadOnlyMemory<Real> Values)> tensors,
        IReadOnlyDictionary<string, string>? metadata = null, NumberFormat format = NumberFormat.F32)
    {
        foreach (var (name, shape, values) in tensors)
        {
            if (values.Length != Count(name, shape))
            {
                throw new ArgumentException($"{name} of shape [{string.Join(", ", shape)}] has {values.Length} values", nameof(tensors));
            }
        }
        Write(path, [.. tensors.Select(t => (t.Name, t.Shape, (ReadValues)Copy(t.Values)))], metadata, format);

        static ReadValues Copy(ReadOnlyMemory<Real> values) =>
            (start, destination) => values.Span.Slice(start, destination.Length).CopyTo(destination);
    }

    /// <summary>Writes tensors that lie anywhere: asked for their values a chunk at a time, in order, so that none is held twice.</summary>
    /// <param name="path">Written whole or not at all, see <see cref="AtomicFile"/>.</param>
    /// <param name="tensors">Each with the delegate that gives as many values as its shape says.</param>
    /// <param name="metadata">{"format": "pt"} unless given.</param>
    /// <param name="format">Of every number.</param>
    /// <exception cref="InputException">The file cannot be written, or a finite number is beyond the format's range.</exception>
    public static void Write(string path, IReadOnlyList<(string Name, int[] Shape, ReadValues Values)> tensors,
        IReadOnlyDictionary<string, string>? metadata = null, NumberFormat format = NumberFormat.F32)
    {
        var header = Header([.. tensors.Select(t => (t.Name, t.Shape, Count(t.Name, t.Shape)))], format, metadata ?? DefaultMetadata);
        AtomicFile.Write(path, stream =>
        {
            stream.Write(header);
            var chunk = new Real[StoredNumbers.Chunk];
            foreach (var (name, shape, values) in tensors)
            {
                var count = Count(name, shape);
                for (var start = 0; start < count;)
                {
                    var part = chunk.AsSpan(0, Math.Min(chunk.Length, count - start));
                    values(start, part);
                    RequireHeld(path, name, format, part);
                    StoredNumbers.Write(stream, format, part);
                    start += part.Length;
                }
            }
        });
    }

    private static void RequireHeld(string path, string name, NumberFormat format, ReadOnlySpan<Real> values)
    {
        foreach (var value in values)
        {
            if (Real.IsFinite(value) && !StoredNumbers.Holds(format, value))
            {
                throw new InputException(path, $"tensor {Quoted.Name(name)}", $"holds {value}, which {format} cannot", "save it as BF16 or F32");
            }
        }
    }

    // The length field and the padded JSON.
    private static byte[] Header(
        IReadOnlyList<(string Name, int[] Shape, int Count)> tensors, NumberFormat format, IReadOnlyDictionary<string, string> metadata)
    {
        var json = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(json))
        {
            var names = new HashSet<string> { "__metadata__" };
            writer.WriteStartObject();
            writer.WriteStartObject("__metadata__");
            foreach (var (key, value) in metadata)
            {
                writer.WriteString(key, value);
            }
            writer.WriteEndObject();
            var offset = 0L;
            foreach (var (name, shape, count) in tensors)
            {
                if (!names.Add(name))
                {
                    throw new ArgumentException($"the name {name} is taken", nameof(tensors));
                }
                writer.WriteStartObject(name);
                writer.WriteString("dtype", format.ToString());
                WriteArray(writer, "shape", [.. shape.Select(size => (long)size)]);
                WriteArray(writer, "data_offsets", [offset, offset += (long)count * StoredNumbers.Bytes(format)]);
                writer.WriteEndObject();
            }
            writer.WriteEndObject();
        }
        var padded = (json.WrittenCount + 7) / 8 * 8;
        var header = new byte[sizeof(ulong) + padded];
        BinaryPrimitives.WriteUInt64LittleEndian(header, (ulong)padded);
        header.AsSpan(sizeof(ulong)).Fill((byte)' ');
        json.WrittenSpan.CopyTo(header.AsSpan(sizeof(ulong)));
        return header;
    }

    private static void WriteArray(Utf8JsonWriter writer, string key, long[] values)
    {
        writer.WriteStartArray(key);
        foreach (var value in values)
        {
            writer.WriteNumberValue(value);
        }
        writer.WriteEndArray();
    }

    /// <summary>The values of a tensor.</summary>
    internal static int Count(string name, int[] shape)
    {
        var count = 1L;
        foreach (var size in shape)
        {
            count = size < 0 ? -1 : count * size;
            if (count is < 0 or > int.MaxValue)
            {
                throw new ArgumentException($"tensor {name} cannot have the shape [{string.Join(", ", shape)}]");
            }
        }
        return (int)count;
    }
}
