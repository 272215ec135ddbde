using System.Buffers;
using System.Text;

namespace TinyDpo.Models;

/// <summary>What pre-tokenisers tell apart: \p{L}, \p{N}, \s, and the rest.</summary>
internal enum CharacterKind
{
    Letter,
    Number,
    Space,
    Other,
}

/// <summary>
/// The first code point of a text and runs of one kind. By hand rather than a Regex, because .NET's matches UTF-16 units, and a letter
/// beyond U+FFFF would be none.
/// </summary>
internal static class CharacterKinds
{
    private static readonly CharacterKind[] s_ascii = [.. Enumerable.Range(0, 128).Select(static c => Of(new Rune(c)))];

    /// <param name="text">Not empty.</param>
    /// <param name="units">UTF-16 units of the code point.</param>
    public static CharacterKind First(ReadOnlySpan<char> text, out int units)
    {
        if (text[0] < 128)
        {
            units = 1;
            return s_ascii[text[0]];
        }
        // A lone surrogate is read as U+FFFD, which is also what becomes of it in UTF-8.
        return Rune.DecodeFromUtf16(text, out var rune, out units) == OperationStatus.Done ? Of(rune) : CharacterKind.Other;
    }

    /// <summary>UTF-16 units of the run of a kind with which the text begins, in at most so many code points.</summary>
    public static int RunLength(ReadOnlySpan<char> text, CharacterKind kind, int most = int.MaxValue)
    {
        var length = 0;
        while (length < text.Length && most-- > 0 && First(text[length..], out var units) == kind)
        {
            length += units;
        }
        return length;
    }

    private static CharacterKind Of(Rune rune) =>
        Rune.IsLetter(rune) ? CharacterKind.Letter
        : Rune.IsNumber(rune) ? CharacterKind.Number
        : Rune.IsWhiteSpace(rune) ? CharacterKind.Space
        : CharacterKind.Other;
}
