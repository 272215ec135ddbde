namespace TinyDpo.Dpo;

/// <summary>
/// The texts that a symbol of a grammar derives: words apart by one space, commas, full stops and question marks attached to the word before.
/// </summary>
internal sealed record Language(Grammar Grammar, string Start)
{
    /// <param name="uniform">Gives numbers in [0, 1).</param>
    public string Sample(Func<double> uniform) => Render(Grammar.Sample(Start, uniform));

    /// <summary>Whether the text has a probability above zero.</summary>
    public bool Accepts(string text) => Parts(text) is { } words && Grammar.Accepts(Start, words);

    /// <summary>The words of any text, in lower case, without punctuation at their ends.</summary>
    public static string[] Words(string text) =>
        [.. text.ToLowerInvariant().Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Select(Bare).Where(static word => word.Length > 0)];

    /// <summary>A word without punctuation at its ends.</summary>
    public static string Bare(string word) => word.Trim('.', ',', '!', '?', ';', ':', '"');

    private static string Render(List<string> words)
    {
        var text = new System.Text.StringBuilder();
        foreach (var word in words)
        {
            if (text.Length > 0 && !Grammar.IsPunctuation(word))
            {
                text.Append(' ');
            }
            text.Append(word);
        }
        return text.ToString();
    }

    /// <summary>
    /// The grammar's words of a text, or null where no rendering gives that text (two spaces, a comma that stands alone).
    /// </summary>
    private static List<string>? Parts(string text)
    {
        var words = new List<string>();
        foreach (var part in text.Split(' '))
        {
            var word = part.Length > 0 && Grammar.IsPunctuation(part[^1..]) ? part[..^1] : part;
            if (word.Length == 0)
            {
                return null;
            }
            words.Add(word);
            if (word.Length < part.Length)
            {
                words.Add(part[^1..]);
            }
        }
        return words;
    }
}
