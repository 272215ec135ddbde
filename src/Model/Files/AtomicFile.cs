using System.Text;

namespace TinyDpo.Models;

/// <summary>
/// Files that are either whole or not there: written under a temporary name in the same folder, flushed to the disk, then renamed over.
/// A reader sees the old file or the new one, never a part. A symbolic link at the path is replaced, its target left alone.
/// </summary>
public static class AtomicFile
{
    private const int BufferBytes = 1 << 16;

    // ENOSPC and EDQUOT of Linux, ERROR_DISK_FULL and ERROR_HANDLE_DISK_FULL of Windows.
    private static readonly int[] DiskFullCodes = [28, 122, unchecked((int)0x80070070), unchecked((int)0x80070027)];

    /// <summary>
    /// Writes the file, and its folder where there is none. When <paramref name="write"/> throws, the old file stays as it was, no
    /// temporary file is left, and its exception comes through, but for those of the file system.
    /// </summary>
    /// <exception cref="InputException">The file cannot be written: no permission, a full disk, a folder that cannot be made.</exception>
    public static void Write(string path, Action<Stream> write)
    {
        try
        {
            var (folder, target) = Locate(path);
            MakeFolder(folder, path);
            if (IsDevice(folder, target))
            {
                WriteDurably(target, FileMode.Open, write);
                return;
            }
            var temporary = TemporaryIn(folder);
            try
            {
                WriteDurably(temporary, FileMode.CreateNew, write);
                File.Move(temporary, target, overwrite: true);
            }
            catch
            {
                DeleteIfPossible(temporary);
                throw;
            }
        }
        catch (Exception e) when (InputFile.IsRefusal(e))
        {
            throw Unwritable(path, e);
        }
    }

    /// <summary>Writes <paramref name="text"/> as UTF-8 without a byte order mark.</summary>
    /// <exception cref="InputException">As <see cref="Write"/>.</exception>
    public static void WriteText(string path, string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        Write(path, stream => stream.Write(bytes));
    }

    /// <summary>Makes the folder and proves, by writing into it, that a run may: so that it fails at its start, not at its end.</summary>
    /// <exception cref="InputException">The folder cannot be made or written.</exception>
    public static void RequireWritableFolder(string folder)
    {
        try
        {
            var (_, full) = Locate(folder);
            MakeFolder(full, folder);
            using var probe = File.Create(TemporaryIn(full), 1, FileOptions.DeleteOnClose);
            probe.WriteByte(0);
            probe.Flush(flushToDisk: true);
        }
        catch (Exception e) when (InputFile.IsRefusal(e))
        {
            throw Unwritable(folder, e);
        }
    }

    /// <summary>Deletes what killed runs have left in a folder of files half written. For a folder that no other process writes into.</summary>
    /// <exception cref="InputException">A leftover cannot be deleted.</exception>
    public static void DeleteLeftovers(string folder)
    {
        foreach (var path in Directory.EnumerateFiles(folder, ".*.tmp").Where(static path => Guid.TryParseExact(Path.GetFileName(path)[1..^4], "N", out _)))
        {
            try
            {
                File.Delete(path);
            }
            catch (Exception e) when (InputFile.IsRefusal(e))
            {
                throw Unwritable(path, e);
            }
        }
    }

    private static void MakeFolder(string folder, string path)
    {
        try
        {
            Directory.CreateDirectory(folder);
        }
        catch (Exception e) when (InputFile.IsRefusal(e) && !DiskFullCodes.Contains(e.HResult))
        {
            throw new InputException(path, null, $"the folder {Quoted.Name(folder)} cannot be made", "choose another folder");
        }
    }

    private static void WriteDurably(string path, FileMode mode, Action<Stream> write)
    {
        using var stream = new FileStream(path, mode, FileAccess.Write, FileShare.None, BufferBytes);
        write(stream);
        stream.Flush(flushToDisk: true);
    }

    internal static (string Folder, string Target) Locate(string path)
    {
        if (string.IsNullOrWhiteSpace(path) || path.Contains('\0'))
        {
            throw new InputException(Quoted.Name(path ?? ""), null, "is no path of a file", "check the path");
        }
        var full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        return (Path.GetDirectoryName(full) ?? full, full);
    }

    // A rename over /dev/null or /dev/stdout would replace the device itself, which root is allowed to do.
    private static bool IsDevice(string folder, string target) => folder == "/dev" && File.Exists(target);

    // Short whatever the target's name: a name of the greatest length still leaves room for its temporary.
    internal static string TemporaryIn(string folder) => Path.Combine(folder, $".{Guid.NewGuid():N}.tmp");

    internal static void DeleteIfPossible(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (InputFile.IsRefusal(e))
        {
            // The first failure is the one to tell.
        }
    }

    /// <summary>What to throw where the file system has refused to write.</summary>
    public static InputException Unwritable(string path, Exception e) => e switch
    {
        _ when DiskFullCodes.Contains(e.HResult) => new(path, null, "the disk is full", "free some space or choose another folder"),
        UnauthorizedAccessException => new(path, null, "may not be written", "check the permissions or choose another folder"),
        _ => new(path, null, $"cannot be written ({Quoted.Text(e.Message)})", "check the disk or choose another folder"),
    };
}
