using System.Security;
using Microsoft.Win32.SafeHandles;

namespace TinyDpo.Models;

/// <summary>Files opened for reading, with what the operating system refuses told as an <see cref="InputException"/>.</summary>
internal static class InputFile
{
    /// <summary>Opens a file that nobody writes meanwhile. A rename over it is allowed: the reader keeps what it opened.</summary>
    public static SafeFileHandle Open(string path, FileOptions options = FileOptions.None) =>
        Guard(path, () => File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, options));

    public static long Length(string path, SafeFileHandle handle) => Guard(path, () => RandomAccess.GetLength(handle));

    /// <summary>Fills <paramref name="destination"/> from <paramref name="offset"/> on. Safe for several threads at once.</summary>
    public static void ReadExactly(string path, SafeFileHandle handle, Span<byte> destination, long offset)
    {
        while (destination.Length > 0)
        {
            int read;
            try
            {
                read = RandomAccess.Read(handle, destination, offset);
            }
            catch (Exception e) when (IsRefusal(e))
            {
                throw Unreadable(path, e);
            }
            if (read == 0)
            {
                throw CutShort(path, offset + destination.Length, offset);
            }
            destination = destination[read..];
            offset += read;
        }
    }

    /// <summary>The bytes of a whole file, one that has more than <paramref name="most"/> refused unread, where the system knows its length.</summary>
    /// <exception cref="InputException">It is larger, or cannot be read.</exception>
    public static ReadOnlyMemory<byte> ReadAll(string path, int most)
    {
        using var stream = new FileStream(Open(path, FileOptions.SequentialScan), FileAccess.Read, bufferSize: 0);
        return Guard(path, () =>
        {
            // A byte more, in which the end is seen; a pipe tells no length.
            var length = stream.CanSeek ? stream.Length : 0;
            var bytes = new byte[length > most ? throw TooLarge(path, most) : Math.Max(length, 1 << 12) + 1];
            var filled = 0;
            for (var read = -1; read != 0; filled += read)
            {
                if (filled == bytes.Length)
                {
                    Array.Resize(ref bytes, (int)Math.Min(2L * bytes.Length, most + 1L));
                }
                read = stream.Read(bytes, filled, bytes.Length - filled);
                if (filled + read > most)
                {
                    throw TooLarge(path, most);
                }
            }
            return bytes.AsMemory(0, filled);
        });
    }

    public static InputException CutShort(string path, long expected, long actual) =>
        new(path, null, $"file is cut short: expects {expected} bytes, has {actual}", "copy or download it again");

    /// <summary>Runs one call of the file system, and tells its refusal in our words.</summary>
    public static T Guard<T>(string path, Func<T> call)
    {
        try
        {
            return call();
        }
        catch (Exception e) when (IsRefusal(e) || e is ArgumentException or NotSupportedException)
        {
            throw Unreadable(path, e);
        }
    }

    /// <summary>Whether an exception is the file system's answer rather than a fault of the program.</summary>
    public static bool IsRefusal(Exception e) => e is IOException or UnauthorizedAccessException or SecurityException;

    private static InputException TooLarge(string path, int most) =>
        new(path, null, $"is larger than {most >> 20} MiB, the most that such a file may have", "check that it is the right file");

    private static InputException Unreadable(string path, Exception e) => e switch
    {
        FileNotFoundException or DirectoryNotFoundException => new(path, null, "there is no such file", "check the path"),
        _ when Directory.Exists(path) => new(path, null, "is a folder, not a file", "name a file in it"),
        UnauthorizedAccessException or SecurityException => new(path, null, "may not be read", "check its permissions"),
        ArgumentException => new(Quoted.Name(path), null, "is no path of a file", "check the path"),
        NotSupportedException => new(path, null, "is not a regular file", "give a file on a disk"),
        _ => new(path, null, $"cannot be read ({Quoted.Text(e.Message)})", "check the disk and whether another program holds the file"),
    };
}
