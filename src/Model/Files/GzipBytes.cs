using System.IO.Compression;

namespace TinyDpo.Models;

/// <summary>
/// The unpacked bytes of a gzip file of one member or several. <see cref="GZipStream"/> takes a file that is cut short for one that ends
/// there, and passes over what is no gzip behind a member. So a member is put behind the file whose content is known: it comes out, alone
/// and last, only where the file ends with the end of a member.
/// </summary>
internal sealed class GzipBytes : IDisposable
{
    private const string Again = "copy or download it again";

    // No more comes out of the bytes of the last member, be they taken for what they are not.
    private const int MostOfEnd = 1 << 16;

    private static readonly byte[] s_end = "\0\0the file's end\0"u8.ToArray();
    private static readonly byte[] s_packedEnd = Pack(s_end);

    private readonly string _path;
    private readonly WithEnd _packed;
    private readonly GZipStream _unpacked;
    private byte[]? _last;
    private int _given;

    public GzipBytes(string path, Stream file)
    {
        (_path, _packed) = (path, new WithEnd(file));
        _unpacked = new GZipStream(_packed, CompressionMode.Decompress);
    }

    /// <summary>The next bytes, 0 at the end.</summary>
    /// <exception cref="InputException">The file cannot be read, is damaged or cut short, or has something else behind the gzip.</exception>
    public int Read(Memory<byte> destination)
    {
        if (_last is null)
        {
            var read = Unpack(destination);
            if (!_packed.FileEnded)
            {
                return read > 0 ? read : throw new InputException(_path, null, "has something behind its end that is no gzip", Again);
            }
            // From here on what comes out may be made of the end.
            _last = Last(destination.Span[..read]);
        }
        var given = Math.Min(destination.Length, _last.Length - _given);
        _last.AsSpan(_given, given).CopyTo(destination.Span);
        _given += given;
        return given;
    }

    public void Dispose() => _unpacked.Dispose();

    private byte[] Last(ReadOnlySpan<byte> first)
    {
        var rest = new byte[MostOfEnd];
        var filled = 0;
        for (var read = -1; read != 0 && filled < rest.Length; filled += read)
        {
            read = Unpack(rest.AsMemory(filled));
        }
        byte[] last = [.. first, .. rest.AsSpan(0, filled)];
        // Bytes behind the last member stop the unpacking before the end is reached; a file that is cut short swallows the end and wants more.
        return last.AsSpan().EndsWith(s_end) ? last[..^s_end.Length] : throw CutShort();
    }

    private int Unpack(Memory<byte> destination)
    {
        try
        {
            return InputFile.Guard(_path, () => _unpacked.Read(destination.Span));
        }
        catch (InvalidDataException)
        {
            throw _packed.FileEnded ? CutShort() : new InputException(_path, null, "is damaged: what follows is no gzip", Again);
        }
    }

    private InputException CutShort() => new(_path, null, "is cut short", Again);

    private static byte[] Pack(byte[] bytes)
    {
        using var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.Fastest))
        {
            gzip.Write(bytes);
        }
        return packed.ToArray();
    }

    /// <summary>A file's bytes and those of the last member behind them.</summary>
    private sealed class WithEnd(Stream file) : Stream
    {
        private int _given;

        /// <summary>Whether more was asked for than the file has.</summary>
        public bool FileEnded { get; private set; }

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override int Read(Span<byte> buffer)
        {
            var read = FileEnded ? 0 : file.Read(buffer);
            if (read > 0)
            {
                return read;
            }
            FileEnded = true;
            var given = Math.Min(buffer.Length, s_packedEnd.Length - _given);
            s_packedEnd.AsSpan(_given, given).CopyTo(buffer);
            _given += given;
            return given;
        }

        public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Flush()
        {
        }
    }
}
