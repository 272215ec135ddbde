using System.Text;
using System.Text.Json;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>Text files line by line, as strict UTF-8, with their line numbers (from 1).</summary>
internal static class TextLines
{
    private static readonly UTF8Encoding s_strict = new(false, throwOnInvalidBytes: true);

    /// <exception cref="InputException">The file cannot be read, is not UTF-8, or has a line that is too long.</exception>
    public static IEnumerable<(int Line, string Text)> Read(string path)
    {
        foreach (var (line, bytes) in InputLines.Read(path))
        {
            var text = Decode(bytes.Span, path, line);
            text = line == 1 ? text.TrimStart('\uFEFF') : text;
            text = text.EndsWith('\r') ? text[..^1] : text;
            yield return text.Contains('\r')
                ? throw new InputException(path, $"line {line}", "holds a carriage return", "end lines with a line feed")
                : (line, text);
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

    private static string Decode(ReadOnlySpan<byte> bytes, string path, int line)
    {
        try
        {
            return s_strict.GetString(bytes);
        }
        catch (DecoderFallbackException)
        {
            throw new InputException(path, $"line {line}", "is not UTF-8", "convert the file to UTF-8");
        }
    }
}
