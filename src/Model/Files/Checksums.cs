using System.Security.Cryptography;
using System.Text.Json;

namespace TinyDpo.Models;

/// <summary>A folder's manifest, checksums.json: the SHA-256 of every other file in it, by which a flipped byte is found.</summary>
public static class Checksums
{
    public const string Name = "checksums.json";

    private const string Remedy = "delete this folder, and go on from an older one";

    /// <summary>Writes the manifest of what the folder holds now.</summary>
    /// <exception cref="InputException">A file cannot be read or the manifest not be written.</exception>
    public static void Write(string folder) => AtomicFile.WriteText(
        Path.Combine(folder, Name),
        JsonSerializer.Serialize(Files(folder).ToDictionary(static name => name, name => HashOf(Path.Combine(folder, name)))));

    /// <summary>Checks that the folder holds the files of its manifest, each as it was, and no other.</summary>
    /// <exception cref="InputException">Names the first file that is not what it was.</exception>
    public static void Verify(string folder)
    {
        var manifest = Path.Combine(folder, Name);
        if (!File.Exists(manifest))
        {
            throw new InputException(manifest, null, "is missing: the folder is torn, or of an earlier version", Remedy);
        }
        using var json = JsonInput.ReadFile(manifest);
        if (json.RootElement.ValueKind != JsonValueKind.Object || json.RootElement.EnumerateObject().Any(static e => e.Value.ValueKind != JsonValueKind.String))
        {
            throw new InputException(manifest, null, "is no JSON object of checksums", Remedy);
        }
        var files = Files(folder).ToHashSet();
        foreach (var entry in json.RootElement.EnumerateObject())
        {
            if (!files.Remove(entry.Name))
            {
                throw new InputException(manifest, null, $"lists {Quoted.Name(entry.Name)}, which is not there", Remedy);
            }
            if (HashOf(Path.Combine(folder, entry.Name)) != entry.Value.GetString())
            {
                throw new InputException(Path.Combine(folder, entry.Name), null, "is damaged: its SHA-256 is not that of checksums.json", Remedy);
            }
        }
        if (files.FirstOrDefault() is { } extra)
        {
            throw new InputException(Path.Combine(folder, extra), null, "is not in checksums.json", Remedy);
        }
    }

    private static IEnumerable<string> Files(string folder) =>
        Directory.EnumerateFiles(folder).Select(static path => Path.GetFileName(path)).Where(static name => name != Name).Order(StringComparer.Ordinal);

    private static string HashOf(string path)
    {
        using var handle = InputFile.Open(path, FileOptions.SequentialScan);
        return InputFile.Guard(path, () =>
        {
            using var stream = new FileStream(handle, FileAccess.Read, bufferSize: 0);
            return Convert.ToHexStringLower(SHA256.HashData(stream));
        });
    }
}
