using System.Text;
using System.Text.Json;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>Ids of JSON strings, line by line: what `tinydpo tokenize` prints.</summary>
public static class TokenizeLines
{
    /// <param name="input">UTF-8, a JSON string a line; blank lines are skipped.</param>
    /// <param name="tokenizer">Its beginning-of-sequence token, if any, begins every line's ids.</param>
    /// <exception cref="InputException">While enumerating: a line is no JSON string, or no UTF-8.</exception>
    public static IEnumerable<int[]> Encode(Stream input, ITokenizer tokenizer)
    {
        using var reader = new StreamReader(input, new UTF8Encoding(false, throwOnInvalidBytes: true));
        for (var line = 1; Next(reader, line) is { } text; line++)
        {
            if (!string.IsNullOrWhiteSpace(text))
            {
                yield return tokenizer.Encode(Parse(text, line));
            }
        }
    }

    private static string? Next(StreamReader reader, int line)
    {
        try
        {
            return reader.ReadLine();
        }
        catch (DecoderFallbackException)
        {
            throw new InputException("stdin", $"line {line} or soon after", "is not UTF-8", "convert the text to UTF-8");
        }
    }

    private static string Parse(string text, int line)
    {
        try
        {
            if (JsonSerializer.Deserialize<string>(text) is { } value)
            {
                return value;
            }
        }
        catch (JsonException)
        {
        }
        throw new InputException("stdin", $"line {line}", "is not a JSON string", "write each text as a JSON string, in double quotes");
    }
}
