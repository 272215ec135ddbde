using System.Buffers.Binary;
using Microsoft.Win32.SafeHandles;

namespace TinyDpo.Models;

/// <summary>
/// A safetensors file open for reading: the header is read and checked at once, a tensor's numbers when asked for. Tensors may be read
/// from several threads. Format: 8 bytes of header length, little-endian, the JSON header, the data.
/// </summary>
public sealed class SafetensorsFile : IDisposable
{
    private const int LengthBytes = 8;
    private readonly SafeFileHandle handle;
    private readonly long dataStart;
    private readonly Dictionary<string, StoredTensor> tensors;

    private SafetensorsFile(string path, SafeFileHandle handle, long dataStart, SafetensorsHeader header)
    {
        (Path, this.handle, this.dataStart) = (path, handle, dataStart);
        tensors = header.Tensors.ToDictionary(t => t.Name);
        Names = [.. header.Tensors.Select(t => t.Name)];
        Metadata = header.Metadata;
    }

    public string Path { get; }

    /// <summary>The tensors' names, in the order of their data.</summary>
    public IReadOnlyList<string> Names { get; }

    /// <summary>The strings under __metadata__; empty where there are none.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>Opens a file and checks its header against its size.</summary>
    /// <exception cref="InputException">The file cannot be read, is cut short, or its header is wrong; names the tensor at fault.</exception>
    public static SafetensorsFile Open(string path)
    {
        var handle = InputFile.Open(path);
        try
        {
            var length = InputFile.Length(path, handle);
            if (length < LengthBytes)
            {
                throw InputFile.CutShort(path, LengthBytes, length);
            }
            Span<byte> field = stackalloc byte[LengthBytes];
            InputFile.ReadExactly(path, handle, field, 0);
            var headerLength = BinaryPrimitives.ReadUInt64LittleEndian(field);
            var most = InputLimit.Json.Bytes;
            if (headerLength > (ulong)most)
            {
                throw new InputException(path, null, $"its header would take {headerLength} bytes, more than the {most} allowed",
                    "give a safetensors file");
            }
            var dataStart = LengthBytes + (long)headerLength;
            if (dataStart > length)
            {
                throw InputFile.CutShort(path, dataStart, length);
            }
            var header = new byte[headerLength];
            InputFile.ReadExactly(path, handle, header, LengthBytes);
            if (header is not [(byte)'{', ..])
            {
                throw new InputException(path, "header", "does not start with '{'", "give a safetensors file");
            }
            return new SafetensorsFile(path, handle, dataStart, new SafetensorsHeader(path, header, dataStart, length));
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    public bool Contains(string name) => tensors.ContainsKey(name);

    /// <summary>A copy of the tensor's shape; [] for a scalar.</summary>
    /// <exception cref="InputException">There is no such tensor.</exception>
    public int[] Shape(string name) => [.. Find(name).Shape];

    /// <summary>Reads a whole tensor, row-major, converted to <see cref="Real"/>.</summary>
    /// <exception cref="InputException">There is no such tensor, its dtype is not supported, or the file cannot be read.</exception>
    /// <exception cref="ArgumentException"><paramref name="destination"/> is not of the tensor's size.</exception>
    public void Read(string name, Span<Real> destination)
    {
        var tensor = Find(name);
        if (destination.Length != tensor.Count)
        {
            throw new ArgumentException($"{name} holds {tensor.Count} numbers, the destination {destination.Length}", nameof(destination));
        }
        StoredNumbers.Read(Path, handle, dataStart + tensor.Offset, FormatOf(tensor), destination);
    }

    /// <summary>Reads a whole tensor that must have <paramref name="shape"/>.</summary>
    /// <exception cref="InputException">There is no such tensor, its dtype is not supported, it has another shape, or the file cannot be read.</exception>
    public void Read(string name, ReadOnlySpan<int> shape, Span<Real> destination)
    {
        RequireShape(name, shape);
        Read(name, destination);
    }

    /// <summary>Checks that a tensor can be read, and its shape.</summary>
    /// <exception cref="InputException">There is no such tensor, its dtype is not supported, or it has another shape.</exception>
    public void RequireShape(string name, ReadOnlySpan<int> shape)
    {
        var tensor = Find(name);
        _ = FormatOf(tensor);
        var actual = tensor.Shape;
        if (!shape.SequenceEqual(actual))
        {
            throw new InputException(Path, $"tensor {Quoted.Name(name)}",
                $"has shape [{string.Join(", ", actual)}], but the model's configuration asks for [{string.Join(", ", shape.ToArray())}]",
                "give the config.json that belongs to these weights");
        }
    }

    public void Dispose() => handle.Dispose();

    private NumberFormat FormatOf(StoredTensor tensor) => tensor.Format ?? throw SafetensorsHeader.Unsupported(Path, tensor.Name, tensor.Dtype);

    private StoredTensor Find(string name) => tensors.TryGetValue(name, out var tensor)
        ? tensor
        : throw new InputException(Path, $"tensor {Quoted.Name(name)}", "is not in the file", "give the weights of the model asked for");
}
