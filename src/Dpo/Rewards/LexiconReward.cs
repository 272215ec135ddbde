using System.Globalization;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>
/// Sentiment by a word list: s / sqrt(s^2 + 15) in (-1, 1), s the sum of the valences of the continuation's words (the normalisation of
/// VADER, Hutto and Gilbert 2014; none of its rules for negation, degree or capitals). Words are what white space separates: looked up as
/// they stand (emoticons), else in lower case, else in lower case without the punctuation at their ends.
/// </summary>
public sealed class LexiconReward : IReward
{
    private const double Normaliser = 15;

    private readonly Dictionary<string, double> valences;

    private LexiconReward(string name, Dictionary<string, double> valences) => (Name, this.valences) = (name, valences);

    public string Name { get; }

    /// <summary>
    /// Reads lines of token TAB mean valence (further columns are ignored). Of a token that stands twice the last counts.
    /// </summary>
    /// <exception cref="InputException">The file cannot be read, a line has no tab or no finite number, or there is no token at
    /// all.</exception>
    public static LexiconReward Read(string path)
    {
        var valences = new Dictionary<string, double>(StringComparer.Ordinal);
        foreach (var (line, text) in TextLines.Read(path))
        {
            if (text.Length == 0)
            {
                continue;
            }
            var columns = text.Split('\t');
            if (columns.Length < 2 || columns[0].Length == 0)
            {
                throw new InputException(path, $"line {line}", "has no tab between a token and its valence", "write token TAB valence");
            }
            var isNumber = double.TryParse(columns[1], NumberStyles.Float, CultureInfo.InvariantCulture, out var valence);
            if (!isNumber || !double.IsFinite(valence))
            {
                throw new InputException(path, $"line {line}", $"the valence '{columns[1]}' is no number", "write it like -1.5");
            }
            valences[columns[0]] = valence;
        }
        return valences.Count > 0
            ? new LexiconReward($"lexicon:{path}", valences)
            : throw new InputException(path, null, "holds no token", "give lines of token TAB valence");
    }

    public double Score(string prompt, string continuation)
    {
        var sum = continuation.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Sum(Valence);
        return sum / Math.Sqrt((sum * sum) + Normaliser);
    }

    private double Valence(string token)
    {
        if (valences.TryGetValue(token, out var valence))
        {
            return valence;
        }
        var word = token.ToLowerInvariant();
        return valences.TryGetValue(word, out valence) || valences.TryGetValue(WithoutPunctuation(word), out valence) ? valence : 0;
    }

    private static string WithoutPunctuation(string word)
    {
        int start = 0, end = word.Length;
        while (start < end && IsPunctuation(word[start]))
        {
            start++;
        }
        while (end > start && IsPunctuation(word[end - 1]))
        {
            end--;
        }
        return word[start..end];
    }

    // Symbols such as $ and ~ too: the ASCII set that Python's string.punctuation names.
    private static bool IsPunctuation(char c) => char.IsPunctuation(c) || (char.IsAscii(c) && char.IsSymbol(c));
}
