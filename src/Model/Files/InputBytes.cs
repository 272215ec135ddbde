namespace TinyDpo.Models;

/// <summary>A file's bytes from its beginning to its end, unpacked where it is gzip.</summary>
internal sealed class InputBytes : IDisposable
{
    /// <summary>Unpacked bytes for a packed one that nothing but a zip bomb has: text is packed to a tenth or so.</summary>
    private const int MostExpansion = 200;

    // Below this much nobody is harmed.
    private const long AlwaysAllowed = 1 << 24;

    private readonly string _path;
    private readonly FileStream _file;
    private readonly GzipBytes? _unpacked;
    private long _read;

    private InputBytes(string path, FileStream file, bool packed)
    {
        (_path, _file) = (path, file);
        _unpacked = packed ? new GzipBytes(path, file) : null;
    }

    /// <exception cref="InputException">The file cannot be read.</exception>
    public static InputBytes Open(string path)
    {
        var file = new FileStream(InputFile.Open(path, FileOptions.SequentialScan), FileAccess.Read, bufferSize: 0);
        try
        {
            var magic = new byte[2];
            var packed = InputFile.Guard(path, () => file.CanSeek && file.ReadAtLeast(magic, 2, throwOnEndOfStream: false) == 2) && magic is [0x1f, 0x8b];
            if (file.CanSeek)
            {
                file.Position = 0;
            }
            return new InputBytes(path, file, packed);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>The next bytes, 0 at the end.</summary>
    /// <exception cref="InputException">The file cannot be read, is damaged or cut short, or grows beyond reason when unpacked.</exception>
    public int Read(Memory<byte> destination)
    {
        if (_unpacked is null)
        {
            return InputFile.Guard(_path, () => _file.Read(destination.Span));
        }
        var read = _unpacked.Read(destination);
        _read += read;
        return _read <= AlwaysAllowed || _read / MostExpansion <= _file.Position
            ? read
            : throw new InputException(_path, null, $"unpacks to more than {MostExpansion} times its size", "unpack it first, if it is what it should be");
    }

    public void Dispose()
    {
        _unpacked?.Dispose();
        _file.Dispose();
    }
}
