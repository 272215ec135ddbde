namespace TinyDpo.Models;

/// <summary>How a byte-level tokenizer cuts a text into words before it merges: the regular expressions of known tokenizers.</summary>
public abstract class WordPattern
{
    public static WordPattern Gpt2 { get; } = new Gpt2Words();

    public static WordPattern Llama3 { get; } = new Llama3Words(digits: 3);

    public static WordPattern Qwen2 { get; } = new Llama3Words(digits: 1);

    public static WordPattern DigitsThenGpt2 { get; } = new DigitsThenGpt2Words();

    /// <summary>The regular expression; tokenizer.json has it so, but for GPT-2's and that of digits, which it has as steps.</summary>
    public abstract string Expression { get; }

    /// <summary>The pattern of a regular expression, or null for one that is not known.</summary>
    public static WordPattern? Of(string expression) =>
        Array.Find([Gpt2, Llama3, Qwen2], pattern => pattern.Expression == expression);

    /// <summary>The length of the first word of <paramref name="text"/>, which is not empty: the first match of the expression.</summary>
    public abstract int FirstLength(ReadOnlySpan<char> text);

    /// <summary>\s+(?!\S)|\s+ of a text that begins with white space: the last space of a run goes with the word that follows it.</summary>
    private protected static int SpaceLength(ReadOnlySpan<char> text)
    {
        var run = CharacterKinds.RunLength(text, CharacterKind.Space);
        return run == text.Length || run == 1 ? run : run - 1;
    }
}
