namespace TinyDpo.Models;

/// <summary>Every digit alone, and GPT-2's words of each stretch between digits: the pre-tokenisation of SmolLM2.</summary>
internal sealed class DigitsThenGpt2Words : WordPattern
{
    // White space before a digit is at its stretch's end, where GPT-2 leaves no space for a word.
    public override string Expression =>
        @"\p{N}|'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+";

    public override int FirstLength(ReadOnlySpan<char> text)
    {
        if (CharacterKinds.First(text, out var units) == CharacterKind.Number)
        {
            return units;
        }
        var word = Gpt2.FirstLength(text);
        // Of white space the word leaves the last one: a digit that matters stands within that and one code point more.
        var near = text[..Math.Min(text.Length, word + 3)];
        for (var stretch = units; stretch < near.Length; stretch += units)
        {
            if (CharacterKinds.First(near[stretch..], out units) == CharacterKind.Number)
            {
                return Gpt2.FirstLength(near[..stretch]);
            }
        }
        return word;
    }
}
