using System.Text.Json;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>Ids of JSON strings, line by line: what `tinydpo tokenize` prints.</summary>
public static class TokenizeLines
{
    /// <exception cref="InputException">A line is no JSON string.</exception>
    public static IEnumerable<int[]> Encode(TextReader input, ITokenizer tokenizer)
    {
        for (var line = 1; input.ReadLine() is { } text; line++)
        {
            if (!string.IsNullOrWhiteSpace(text))
            {
                yield return tokenizer.Encode(Parse(text, line));
            }
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
