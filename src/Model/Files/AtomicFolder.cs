namespace TinyDpo.Models;

/// <summary>
/// Folders that are either whole or not there: written as FOLDER.partial, then renamed. What a crash leaves of FOLDER.partial is removed by
/// the next write.
/// </summary>
public static class AtomicFolder
{
    private const string Partial = ".partial";
    private const string Old = ".old";

    /// <summary>
    /// Writes the folder, in place of one that is there. When <paramref name="write"/> throws, the old folder stays as it was and its
    /// exception comes through. Between the two renames of a replacement a crash leaves the old one as FOLDER.old.
    /// </summary>
    /// <param name="folder">Its parents are made where there are none.</param>
    /// <param name="write">Fills the folder whose path it is given.</param>
    /// <exception cref="InputException">The folder cannot be written or replaced.</exception>
    public static void Write(string folder, Action<string> write)
    {
        var (target, partial, old) = Paths(folder);
        Delete(partial);
        try
        {
            AtomicFile.RequireWritableFolder(partial);
            write(partial);
            if (Directory.Exists(target))
            {
                Delete(old);
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
        Delete(old);
    }

    /// <summary>For a folder that somebody names, who may have other things in it: what <see cref="Write"/> would delete must not be there.</summary>
    /// <exception cref="InputException">The folder is there and not empty, or one with the name that it has while it is written or replaced.</exception>
    public static void RequireUnused(string folder)
    {
        var (target, partial, old) = Paths(folder);
        foreach (var taken in new[] { target, partial, old })
        {
            var used = false;
            Guard(taken, "cannot be read", () => used = Directory.Exists(taken) && Directory.EnumerateFileSystemEntries(taken).Any());
            if (used)
            {
                throw new InputException(taken, null, "is there and not empty", "choose another folder, or delete it");
            }
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
        var doomed = folder;
        if (!folder.EndsWith(Partial, StringComparison.Ordinal) && !folder.EndsWith(Old, StringComparison.Ordinal))
        {
            Delete(doomed = folder + Partial);
            Move(folder, doomed);
        }
        Guard(folder, "cannot be deleted", () => Directory.Delete(doomed, recursive: true));
    }

    private static (string Target, string Partial, string Old) Paths(string folder)
    {
        var target = Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder));
        return (target, target + Partial, target + Old);
    }

    private static void Move(string from, string to) => Guard(to, "cannot be renamed to", () => Directory.Move(from, to));

    private static void DeleteIfPossible(string folder)
    {
        try
        {
            Delete(folder);
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
