using System.Buffers;
using System.Text;

namespace TinyDpo.Models;

/// <summary>
/// GPT-2's pre-tokenisation: cuts a text into words, across which nothing merges. By hand rather than a Regex, because .NET's matches
/// UTF-16 units, and a letter beyond U+FFFF would be none.
/// </summary>
public static class Gpt2Words
{
    private enum Kind
    {
        Letter,
        Number,
        Space,
        Other,
    }

    /// <summary>
    /// The length of the first word of <paramref name="text"/>, which is not empty: the first match of
    /// <c>'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+</c>.
    /// </summary>
    public static int FirstLength(ReadOnlySpan<char> text)
    {
        if (ContractionLength(text) is > 0 and var contraction)
        {
            return contraction;
        }
        var start = text[0] == ' ' && text.Length > 1 ? 1 : 0;
        var kind = KindOf(text[start..], out _);
        if (kind != Kind.Space)
        {
            return start + RunLength(text[start..], kind);
        }
        // The last space of a run goes with the word that follows it.
        var run = RunLength(text, Kind.Space);
        return run == text.Length || run == 1 ? run : run - 1;
    }

    private static int ContractionLength(ReadOnlySpan<char> text) => text switch
    {
        ['\'', 's' or 't' or 'm' or 'd', ..] => 2,
        ['\'', 'r' or 'v', 'e', ..] or ['\'', 'l', 'l', ..] => 3,
        _ => 0,
    };

    private static int RunLength(ReadOnlySpan<char> text, Kind kind)
    {
        var length = 0;
        while (length < text.Length && KindOf(text[length..], out var units) == kind)
        {
            length += units;
        }
        return length;
    }

    private static Kind KindOf(ReadOnlySpan<char> text, out int units)
    {
        // A lone surrogate is read as U+FFFD, which is also what becomes of it in UTF-8.
        if (Rune.DecodeFromUtf16(text, out var rune, out units) != OperationStatus.Done)
        {
            return Kind.Other;
        }
        return Rune.IsLetter(rune) ? Kind.Letter
            : Rune.IsNumber(rune) ? Kind.Number
            : Rune.IsWhiteSpace(rune) ? Kind.Space
            : Kind.Other;
    }
}
