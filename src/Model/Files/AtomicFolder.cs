using System.Globalization;

namespace TinyDpo.Models;

/// <summary>
/// Folders that are either whole or not there: written as FOLDER.ID.partial, then renamed. What a crash leaves of such a folder is removed
/// by the next write; the ID, eight random digits, tells it from what somebody else has put there.
/// </summary>
public static class AtomicFolder
{
    private const string Partial = ".partial";
    private const string Old = ".old";
    private const int IdDigits = 8;

    /// <summary>
    /// Writes the folder, in place of one that is there. When <paramref name="write"/> throws, the old folder stays as it was and its
    /// exception comes through. Between the two renames of a replacement a crash leaves the old one as FOLDER.ID.old, until the next is whole.
    /// </summary>
    /// <param name="folder">Its parents are made where there are none.</param>
    /// <param name="write">Fills the folder whose path it is given.</param>
    /// <exception cref="InputException">The folder cannot be written or replaced.</exception>
    public static void Write(string folder, Action<string> write)
    {
        var target = Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder));
        var (partial, old) = (Unique(target, Partial), Unique(target, Old));
        DeleteLeftovers(target, Partial);
        try
        {
            AtomicFile.RequireWritableFolder(partial);
            write(partial);
            if (Directory.Exists(target))
            {
                Move(target, old);
            }
            try
            {
                Move(partial, target);
            }
            catch (InputException) when (Directory.Exists(old) && !Directory.Exists(target))
            {
                Move(old, target);
                throw;
            }
        }
        catch
        {
            DeleteIfPossible(partial);
            throw;
        }
        DeleteLeftovers(target, Old);
    }

    /// <summary>For a folder that somebody names, who may have other things in it: <see cref="Write"/> would replace it.</summary>
    /// <exception cref="InputException">The folder is there and not empty.</exception>
    public static void RequireUnused(string folder)
    {
        var used = false;
        Guard(folder, "cannot be read", () => used = Directory.Exists(folder) && Directory.EnumerateFileSystemEntries(folder).Any());
        if (used)
        {
            throw new InputException(folder, null, "is there and not empty", "choose another folder, or delete it");
        }
    }

    /// <summary>Deletes the folder, if there is one. What is left when that fails halfway does not bear its name.</summary>
    /// <exception cref="InputException">It cannot be deleted.</exception>
    public static void Delete(string folder)
    {
        if (!Directory.Exists(folder))
        {
            return;
        }
        var target = Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder));
        var doomed = Unique(target, Partial);
        Move(target, doomed);
        DeleteWhole(doomed);
    }

    /// <summary>Whether a name is one that our folders bear only while they are written or deleted.</summary>
    public static bool IsPartial(string name) => TargetOf(name, Partial) is not null;

    private static string Unique(string target, string suffix) => $"{target}.{Guid.NewGuid().ToString("N")[..IdDigits]}{suffix}";

    // The TARGET of TARGET.ID.suffix; null for other names.
    private static string? TargetOf(string name, string suffix)
    {
        var length = name.Length - suffix.Length - IdDigits - 1;
        return length > 0 && name[length] == '.' && name.EndsWith(suffix, StringComparison.Ordinal)
            && uint.TryParse(name.AsSpan(length + 1, IdDigits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out _)
            ? name[..length]
            : null;
    }

    private static void DeleteLeftovers(string target, string suffix)
    {
        var (parent, name) = (Path.GetDirectoryName(target), Path.GetFileName(target));
        List<string> left = [];
        Guard(target, "cannot be read beside", () => left = Directory.Exists(parent)
            ? [.. Directory.EnumerateDirectories(parent).Where(path => TargetOf(Path.GetFileName(path), suffix) == name)]
            : []);
        left.ForEach(DeleteWhole);
    }

    private static void DeleteWhole(string folder) => Guard(folder, "cannot be deleted", () => Directory.Delete(folder, recursive: true));

    private static void Move(string from, string to) => Guard(to, "cannot be renamed to", () => Directory.Move(from, to));

    private static void DeleteIfPossible(string folder)
    {
        try
        {
            if (Directory.Exists(folder))
            {
                DeleteWhole(folder);
            }
        }
        catch (InputException)
        {
            // The first failure is the one to tell.
        }
    }

    private static void Guard(string folder, string problem, Action call)
    {
        try
        {
            call();
        }
        catch (Exception e) when (InputFile.IsRefusal(e))
        {
            throw new InputException(
                folder, null, $"{problem} ({Quoted.Text(e.Message)})", "check the permissions and whether another program holds it, or choose another folder");
        }
    }
}
