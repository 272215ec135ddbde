using Microsoft.Win32.SafeHandles;

namespace TinyDpo.Models;

/// <summary>
/// What is too much for memory, for as long as a run needs it: bytes are appended, then read back from any place. The file has no name once
/// it is open, so that the disk is free again however the process ends.
/// </summary>
public sealed class ScratchFile : IDisposable
{
    private readonly string _path;
    private readonly SafeFileHandle _handle;
    private readonly byte[] _tail = new byte[1 << 16]; // appended, not yet written
    private int _inTail;
    private long _written;

    /// <param name="place">A folder on a disk that has room; of one that is not there yet, the nearest parent.</param>
    /// <exception cref="InputException">The folder cannot be written.</exception>
    public ScratchFile(string place)
    {
        var folder = Existing(place);
        _path = AtomicFile.TemporaryIn(folder);
        try
        {
            _handle = File.OpenHandle(
                _path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete, FileOptions.RandomAccess | FileOptions.DeleteOnClose);
        }
        catch (Exception e) when (InputFile.IsRefusal(e))
        {
            throw AtomicFile.Unwritable(folder, e);
        }
        AtomicFile.DeleteIfPossible(_path);
    }

    /// <summary>Bytes appended so far.</summary>
    public long Length => _written + _inTail;

    /// <exception cref="InputException">The disk is full, or fails.</exception>
    public void Append(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > _tail.Length - _inTail)
        {
            Flush();
        }
        if (bytes.Length > _tail.Length)
        {
            Write(bytes);
            return;
        }
        bytes.CopyTo(_tail.AsSpan(_inTail));
        _inTail += bytes.Length;
    }

    /// <summary>Fills <paramref name="destination"/> from <paramref name="offset"/> on.</summary>
    /// <exception cref="InputException">The disk fails.</exception>
    public void ReadExactly(long offset, Span<byte> destination)
    {
        if (offset + destination.Length > _written)
        {
            Flush();
        }
        InputFile.ReadExactly(_path, _handle, destination, offset);
    }

    public void Dispose() => _handle.Dispose();

    private static string Existing(string place)
    {
        var (_, folder) = AtomicFile.Locate(place);
        while (!Directory.Exists(folder) && Path.GetDirectoryName(folder) is { } parent)
        {
            folder = parent;
        }
        return folder;
    }

    private void Flush()
    {
        Write(_tail.AsSpan(0, _inTail));
        _inTail = 0;
    }

    private void Write(ReadOnlySpan<byte> bytes)
    {
        try
        {
            RandomAccess.Write(_handle, bytes, _written);
        }
        catch (Exception e) when (InputFile.IsRefusal(e))
        {
            throw AtomicFile.Unwritable(Path.GetDirectoryName(_path)!, e);
        }
        _written += bytes.Length;
    }
}
