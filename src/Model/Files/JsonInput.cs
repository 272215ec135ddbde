using System.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace TinyDpo.Models;

/// <summary>
/// JSON from outside, checked whole before anyone reads it: valid UTF-8, at most 64 levels deep, no key twice, no half of a surrogate pair.
/// What comes through may be read with GetString and the like without a surprise.
/// </summary>
public static class JsonInput
{
    private const int MaxDepth = 64;
    private const string CorrectFile = "correct the file";
    private static readonly JsonDocumentOptions Strict = new() { MaxDepth = MaxDepth, AllowDuplicateProperties = false };

    /// <summary>Reads a file that holds one JSON value.</summary>
    /// <param name="path">The file.</param>
    /// <param name="remedy">What to do where it is not JSON.</param>
    /// <exception cref="InputException">The file cannot be read, is too large or is not JSON; names line and byte, both counted from 1.</exception>
    public static JsonDocument ReadFile(string path, string remedy = CorrectFile)
    {
        var bytes = InputFile.ReadAll(path, InputLimit.Json.Bytes);
        return Parse(path, WithoutByteOrderMark(bytes), null, InputLimit.Json, utf8 => JsonDocument.Parse(utf8, Strict), remedy: remedy);
    }

    /// <summary>
    /// Reads a JSONL file, or one packed with gzip, one JSON value a line, as it is enumerated. Blank lines are skipped, but counted: lines are numbered from 1.
    /// </summary>
    /// <exception cref="InputException">While enumerating: the file cannot be read, or a line is not JSON; names line and byte.</exception>
    public static IEnumerable<(int Line, JsonElement Row)> ReadLines(string path)
    {
        foreach (var (line, bytes) in InputLines.Read(path))
        {
            var json = line == 1 ? WithoutByteOrderMark(bytes) : bytes;
            if (json.Span.IndexOfAnyExcept(" \t\r"u8) >= 0)
            {
                yield return (line, Parse(path, json, line, InputLimit.Line, utf8 => JsonElement.Parse(utf8.Span, Strict)));
            }
        }
    }

    /// <summary>
    /// Reads rows as they are enumerated: the values of a file that is one JSON list, or else its lines (JSONL); either may be packed with
    /// gzip. The line is that on which a value begins.
    /// </summary>
    /// <exception cref="InputException">As <see cref="ReadLines"/>; or the list does not end.</exception>
    public static IEnumerable<(int Line, JsonElement Row)> ReadRows(string path)
    {
        if (!IsList(path))
        {
            return ReadLines(path);
        }
        return Items();

        IEnumerable<(int Line, JsonElement Row)> Items()
        {
            using var input = InputBytes.Open(path);
            foreach (var (line, bytes) in new JsonItems(path, input).Read())
            {
                yield return (line, Parse(path, bytes, line, InputLimit.Line, utf8 => JsonElement.Parse(utf8.Span, Strict)));
            }
        }
    }

    /// <summary>Parses JSON that is a part of <paramref name="file"/>, called <paramref name="part"/> in messages.</summary>
    internal static JsonDocument ParsePart(string file, string part, ReadOnlyMemory<byte> utf8) =>
        Parse(file, utf8, null, InputLimit.Json, bytes => JsonDocument.Parse(bytes, Strict), part + ", ");

    /// <summary>Reads over JSON, which costs no memory, where it is long enough to have more tokens than may be parsed.</summary>
    /// <exception cref="JsonException">It has, or is no JSON.</exception>
    internal static void RequireFewTokens(ReadOnlySpan<byte> utf8, InputLimit limit)
    {
        if (utf8.Length <= limit.Tokens)
        {
            return;
        }
        var reader = new Utf8JsonReader(utf8, new JsonReaderOptions { MaxDepth = MaxDepth });
        for (var tokens = 0; reader.Read(); tokens++)
        {
            if (tokens == limit.Tokens)
            {
                throw Located($"more than {limit.Tokens} values, names and brackets.", utf8, (int)reader.TokenStartIndex);
            }
        }
    }

    private static T Parse<T>(
        string file, ReadOnlyMemory<byte> utf8, int? line, InputLimit limit, Func<ReadOnlyMemory<byte>, T> parse, string part = "",
        string remedy = CorrectFile)
    {
        try
        {
            RequireFewTokens(utf8.Span, limit);
            RequireText(utf8.Span);
            return parse(utf8);
        }
        catch (JsonException e)
        {
            var place = (line, e.LineNumber, e.BytePositionInLine) switch
            {
                ({ } known, _, null) => $"line {known}",
                ({ } known, _, { } position) => $"line {known + e.LineNumber ?? known}, byte {position + 1}",
                (null, { } number, { } position) => $"line {number + 1}, byte {position + 1}",
                _ => "",
            };
            var where = (part + place).TrimEnd(',', ' ');
            throw new InputException(file, where.Length > 0 ? where : null, $"not valid JSON: {Explain(e)}", line is null ? remedy : "correct or delete the line");
        }
    }

    // What the parser leaves to the first GetString, which then throws: bytes that are not UTF-8, and escapes of half a surrogate pair.
    private static void RequireText(ReadOnlySpan<byte> utf8)
    {
        if (!Utf8.IsValid(utf8))
        {
            var at = 0;
            while (Rune.DecodeFromUtf8(utf8[at..], out _, out var length) == System.Buffers.OperationStatus.Done)
            {
                at += length;
            }
            throw Located("a byte that is not UTF-8.", utf8, at);
        }
        if (utf8.IndexOf("\\ud"u8) < 0 && utf8.IndexOf("\\uD"u8) < 0)
        {
            return;
        }
        var reader = new Utf8JsonReader(utf8, new JsonReaderOptions { MaxDepth = MaxDepth });
        while (reader.Read())
        {
            if (reader.TokenType is JsonTokenType.String or JsonTokenType.PropertyName && reader.ValueIsEscaped)
            {
                try
                {
                    reader.GetString();
                }
                catch (InvalidOperationException)
                {
                    throw Located("an escape that is half of a surrogate pair.", utf8, (int)reader.TokenStartIndex);
                }
            }
        }
    }

    private static JsonException Located(string problem, ReadOnlySpan<byte> utf8, int at)
    {
        var before = utf8[..at];
        return new JsonException(problem, null, before.Count((byte)'\n'), at - (before.LastIndexOf((byte)'\n') + 1));
    }

    // The parser's own sentence, without the position that it appends and that the message gives already.
    private static string Explain(JsonException e)
    {
        var appended = e.Message.IndexOf(" LineNumber:", StringComparison.Ordinal);
        var sentence = appended < 0 ? e.Message : e.Message[..appended];
        return Quoted.Text(sentence.TrimEnd('.'));
    }

    private static ReadOnlyMemory<byte> WithoutByteOrderMark(ReadOnlyMemory<byte> bytes) =>
        bytes.Span.StartsWith("\uFEFF"u8) ? bytes[3..] : bytes;

    // Whether the first byte that is no space begins a list.
    private static bool IsList(string path)
    {
        using var input = InputBytes.Open(path);
        var buffer = new byte[1 << 12];
        for (var read = input.Read(buffer); read > 0; read = input.Read(buffer))
        {
            var rest = buffer.AsSpan(0, read).TrimStart(" \t\r\n\uFEFF"u8);
            if (rest.Length > 0)
            {
                return rest[0] == (byte)'[';
            }
        }
        return false;
    }
}
