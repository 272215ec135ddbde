using System.Text.Json;

namespace TinyDpo.Models;

/// <summary>Where one tensor lies: <paramref name="Offset"/> and <paramref name="End"/> count bytes from the start of the data.</summary>
/// <param name="Format">Null for a dtype that is not read, such as that of a mask.</param>
internal sealed record StoredTensor(string Name, string Dtype, NumberFormat? Format, int[] Shape, int Count, long Offset, long End);

/// <summary>
/// The JSON header of a safetensors file, every number in it checked before use. As Hugging Face's own reader has it, tensors lie
/// without overlap or hole and fill the data to its last byte.
/// </summary>
internal sealed class SafetensorsHeader
{
    private const string MetadataKey = "__metadata__";
    private const string Remedy = "the file is damaged: save or download it again";
    private readonly string file;

    /// <summary>Checks a header.</summary>
    /// <param name="file">The file's name, for messages.</param>
    /// <param name="json">The header's bytes.</param>
    /// <param name="dataStart">Bytes in the file before the data.</param>
    /// <param name="fileLength">Bytes of the whole file.</param>
    /// <exception cref="InputException">Names the tensor at fault.</exception>
    public SafetensorsHeader(string file, ReadOnlyMemory<byte> json, long dataStart, long fileLength)
    {
        this.file = file;
        using var document = JsonInput.ParsePart(file, "header", json);
        if (document.RootElement.ValueKind != JsonValueKind.Object)
        {
            throw new InputException(file, "header", "is no JSON object", Remedy);
        }
        var tensors = new List<StoredTensor>();
        foreach (var entry in document.RootElement.EnumerateObject())
        {
            if (entry.NameEquals(MetadataKey))
            {
                Metadata = ReadMetadata(entry.Value);
            }
            else
            {
                tensors.Add(ReadTensor(entry.Name, entry.Value));
            }
        }
        Tensors = [.. tensors.OrderBy(t => t.Offset).ThenBy(t => t.End)];
        RequireContiguous(dataStart, fileLength);
    }

    /// <summary>In the order of the data.</summary>
    public IReadOnlyList<StoredTensor> Tensors { get; }

    public IReadOnlyDictionary<string, string> Metadata { get; } = new Dictionary<string, string>();

    private Dictionary<string, string> ReadMetadata(JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Object || value.EnumerateObject().Any(p => p.Value.ValueKind != JsonValueKind.String))
        {
            throw new InputException(file, MetadataKey, "is no JSON object of strings", Remedy);
        }
        return value.EnumerateObject().ToDictionary(p => p.Name, p => p.Value.GetString()!);
    }

    private StoredTensor ReadTensor(string name, JsonElement entry)
    {
        if (entry.ValueKind != JsonValueKind.Object)
        {
            throw Fault(name, "its entry is no JSON object");
        }
        var dtype = Field(name, entry, "dtype", JsonValueKind.String).GetString()!;
        NumberFormat? format = Enum.GetNames<NumberFormat>().Contains(dtype) ? Enum.Parse<NumberFormat>(dtype) : null;
        var (shape, count) = ReadShape(name, Field(name, entry, "shape", JsonValueKind.Array));
        var offsets = Field(name, entry, "data_offsets", JsonValueKind.Array);
        if (offsets.GetArrayLength() != 2 || !IsNatural(offsets[0], out var begin) || !IsNatural(offsets[1], out var end) || end < begin)
        {
            throw Fault(name, $"data_offsets {Quoted.Text(offsets.GetRawText())} are no range of bytes");
        }
        var bytes = (long)count * (format is { } known ? StoredNumbers.Bytes(known) : OtherBytes(dtype) ?? throw Unsupported(file, name, dtype));
        if (end - begin != bytes)
        {
            throw Fault(name, $"data_offsets span {end - begin} bytes, but {dtype} of shape [{string.Join(", ", shape)}] takes {bytes}");
        }
        return new StoredTensor(name, dtype, format, shape, count, begin, end);
    }

    /// <summary>What to say of a tensor whose numbers are asked for and cannot be read.</summary>
    public static InputException Unsupported(string file, string name, string dtype) =>
        new(file, $"tensor {Quoted.Name(name)}", $"dtype {Quoted.Name(dtype)} is not supported", "save it as F32, F16, BF16 or F64");

    // The sizes of safetensors' other dtypes: a file may hold such a tensor that nobody asks for, and its place is checked too.
    private static int? OtherBytes(string dtype) => dtype switch
    {
        "BOOL" or "U8" or "I8" or "F8_E4M3" or "F8_E5M2" or "F8_E8M0" => 1,
        "I16" or "U16" => 2,
        "I32" or "U32" => 4,
        "I64" or "U64" or "C64" => 8,
        _ => null,
    };

    private (int[] Shape, int Count) ReadShape(string name, JsonElement value)
    {
        var shape = new int[value.GetArrayLength()];
        var count = 1L;
        for (var i = 0; i < shape.Length; i++)
        {
            if (!IsNatural(value[i], out var size))
            {
                throw Fault(name, $"shape {Quoted.Text(value.GetRawText())} holds something else than sizes");
            }
            // Checked at every factor, so that a later 0 hides no overflow and the product fits long.
            if (size > int.MaxValue || (count *= size) > int.MaxValue)
            {
                throw Fault(name, $"shape {Quoted.Text(value.GetRawText())} holds more than {int.MaxValue} numbers");
            }
            shape[i] = (int)size;
        }
        return (shape, (int)count);
    }

    private void RequireContiguous(long dataStart, long fileLength)
    {
        var end = 0L;
        foreach (var tensor in Tensors)
        {
            if (tensor.Offset != end)
            {
                throw Fault(tensor.Name, tensor.Offset < end
                    ? "overlaps the tensor before it"
                    : $"leaves {tensor.Offset - end} bytes unused before it");
            }
            end = tensor.End;
        }
        if (dataStart + end > fileLength)
        {
            throw InputFile.CutShort(file, dataStart + end, fileLength);
        }
        if (dataStart + end < fileLength)
        {
            throw new InputException(file, null, $"has {fileLength - dataStart - end} bytes after the last tensor", Remedy);
        }
    }

    private JsonElement Field(string name, JsonElement entry, string key, JsonValueKind kind) =>
        entry.TryGetProperty(key, out var value) && value.ValueKind == kind
            ? value
            : throw Fault(name, $"its entry has no {key} of kind {kind.ToString().ToLowerInvariant()}");

    private static bool IsNatural(JsonElement value, out long number)
    {
        number = -1;
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out number) && number >= 0;
    }

    private InputException Fault(string name, string problem) => new(file, $"tensor {Quoted.Name(name)}", problem, Remedy);
}
