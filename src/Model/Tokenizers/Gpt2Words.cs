namespace TinyDpo.Models;

/// <summary>GPT-2's pre-tokenisation: cuts a text into words, across which nothing merges.</summary>
internal sealed class Gpt2Words : WordPattern
{
    public override string Expression => @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    public override int FirstLength(ReadOnlySpan<char> text)
    {
        if (ContractionLength(text) is > 0 and var contraction)
        {
            return contraction;
        }
        var start = text[0] == ' ' && text.Length > 1 ? 1 : 0;
        var kind = CharacterKinds.First(text[start..], out _);
        return kind != CharacterKind.Space ? start + CharacterKinds.RunLength(text[start..], kind) : SpaceLength(text);
    }

    private static int ContractionLength(ReadOnlySpan<char> text) => text switch
    {
        ['\'', 's' or 't' or 'm' or 'd', ..] => 2,
        ['\'', 'r' or 'v', 'e', ..] or ['\'', 'l', 'l', ..] => 3,
        _ => 0,
    };
}
