namespace TinyDpo.Models;

/// <summary>The pre-tokenisation of Llama 3 and Qwen2, which differ in how many digits a word may have.</summary>
/// <param name="digits">3 for Llama 3, 1 for Qwen2.</param>
internal sealed class Llama3Words(int digits) : WordPattern
{
    public override string Expression =>
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|" + (digits == 1 ? @"\p{N}" : $@"\p{{N}}{{1,{digits}}}")
        + @"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    public override int FirstLength(ReadOnlySpan<char> text)
    {
        if (ContractionLength(text) is > 0 and var contraction)
        {
            return contraction;
        }
        var kind = CharacterKinds.First(text, out var units);
        if (kind == CharacterKind.Letter)
        {
            return CharacterKinds.RunLength(text, kind);
        }
        if (kind == CharacterKind.Number)
        {
            return CharacterKinds.RunLength(text, kind, digits);
        }
        if (text[0] is not ('\r' or '\n') && CharacterKinds.RunLength(text[units..], CharacterKind.Letter) is > 0 and var letters)
        {
            return units + letters;
        }
        var start = text[0] == ' ' ? 1 : 0;
        if (CharacterKinds.RunLength(text[start..], CharacterKind.Other) is > 0 and var others)
        {
            var end = start + others;
            while (end < text.Length && text[end] is '\r' or '\n')
            {
                end++;
            }
            return end;
        }
        var run = text[..CharacterKinds.RunLength(text, CharacterKind.Space)];
        return run.LastIndexOfAny('\r', '\n') is >= 0 and var lineEnd ? lineEnd + 1 : SpaceLength(text);
    }

    // Without regard to case, where U+017F, the long s, is an s.
    private static int ContractionLength(ReadOnlySpan<char> text) => text switch
    {
        ['\'', 's' or 'S' or '\u017F' or 't' or 'T' or 'm' or 'M' or 'd' or 'D', ..] => 2,
        ['\'', 'r' or 'R' or 'v' or 'V', 'e' or 'E', ..] or ['\'', 'l' or 'L', 'l' or 'L', ..] => 3,
        _ => 0,
    };
}
