using System.Text;
using System.Text.Json;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>Text files line by line, as strict UTF-8, with their line numbers (from 1).</summary>
internal static class TextLines
{
    /// <exception cref="InputException">The file cannot be opened, or is not UTF-8.</exception>
    public static IEnumerable<(int Line, string Text)> Read(string path)
    {
        using var reader = Open(path);
        for (var line = 1; Next(reader, path, line) is { } text; line++)
        {
            yield return (line, text);
        }
    }

    /// <summary>JSON objects, one a line (blank lines are skipped) or as one JSON list, packed with gzip or not.</summary>
    /// <exception cref="InputException">As for <see cref="Read"/>; or a line is not a JSON object.</exception>
    public static IEnumerable<(int Line, JsonElement Row)> ReadJson(string path)
    {
        foreach (var (line, row) in JsonInput.ReadRows(path))
        {
            yield return row.ValueKind == JsonValueKind.Object
                ? (line, row)
                : throw new InputException(path, $"line {line}", "is not a JSON object", "write one object {...} a line (JSON Lines), or a list of objects");
        }
    }

    private static StreamReader Open(string path)
    {
        try
        {
            return new StreamReader(path, new UTF8Encoding(false, throwOnInvalidBytes: true));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            var problem = Directory.Exists(path) ? "is a folder" : File.Exists(path) ? $"cannot be read ({e.Message})" : "does not exist";
            throw new InputException(path, null, problem, "give the path of a readable file");
        }
    }

    private static string? Next(StreamReader reader, string path, int line)
    {
        try
        {
            return reader.ReadLine();
        }
        catch (DecoderFallbackException)
        {
            throw new InputException(path, $"line {line} or soon after", "is not UTF-8", "convert the file to UTF-8");
        }
        catch (IOException e)
        {
            throw new InputException(path, $"line {line}", $"cannot be read ({e.Message})", "check the disk");
        }
    }
}
