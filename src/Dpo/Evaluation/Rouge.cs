namespace TinyDpo.Dpo;

/// <summary>How much of an answer a reference has, and of the reference the answer.</summary>
/// <param name="Precision">The share of the answer's units that match, in [0, 1].</param>
/// <param name="Recall">The share of the reference's units that match, in [0, 1].</param>
public readonly record struct RougeScore(double Precision, double Recall)
{
    /// <summary>Their harmonic mean, in [0, 1]; 0 where nothing matches. An answer that is too long loses as one that is too short does.</summary>
    public double F => Precision + Recall > 0 ? 2 * Precision * Recall / (Precision + Recall) : 0;
}

/// <summary>
/// ROUGE (Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries"): the overlap of an answer's words with a reference's. Words are
/// maximal runs of letters and digits in lower case; none is stemmed or left out. An empty text matches nothing.
/// </summary>
public static class Rouge
{
    /// <summary>ROUGE-1: words in common, each as often as the text that has it less often.</summary>
    public static RougeScore One(string answer, string reference)
    {
        var (a, r) = (Words(answer), Words(reference));
        var left = r.CountBy(static word => word).ToDictionary();
        var common = 0;
        foreach (var word in a)
        {
            if (left.TryGetValue(word, out var count) && count > 0)
            {
                left[word] = count - 1;
                common++;
            }
        }
        return Score(common, a, r);
    }

    /// <summary>ROUGE-L, each text one sentence: the longest common subsequence of words.</summary>
    public static RougeScore L(string answer, string reference)
    {
        var (a, r) = (Words(answer), Words(reference));
        return Score(LongestCommonSubsequence(a, r), a, r);
    }

    /// <summary>The largest F over the references (as Cachola et al. 2020 report SciTLDR, whose texts have several).</summary>
    /// <param name="references">At least one.</param>
    public static double BestF(Func<string, string, RougeScore> measure, string answer, IEnumerable<string> references) =>
        references.Max(reference => measure(answer, reference).F);

    /// <summary>The words of a text, in order.</summary>
    internal static string[] Words(string text)
    {
        List<string> words = [];
        var lower = text.ToLowerInvariant();
        for (var from = 0; from < lower.Length;)
        {
            var to = from;
            while (to < lower.Length && char.IsLetterOrDigit(lower[to]))
            {
                to++;
            }
            if (to > from)
            {
                words.Add(lower[from..to]);
            }
            from = to + 1;
        }
        return [.. words];
    }

    private static int LongestCommonSubsequence(string[] a, string[] b)
    {
        // lengths[j]: of the part of a so far and the first j words of b.
        var lengths = new int[b.Length + 1];
        foreach (var word in a)
        {
            var diagonal = 0;
            for (var j = 1; j <= b.Length; j++)
            {
                (lengths[j], diagonal) = (word == b[j - 1] ? diagonal + 1 : Math.Max(lengths[j], lengths[j - 1]), lengths[j]);
            }
        }
        return lengths[^1];
    }

    private static RougeScore Score(int common, string[] answer, string[] reference) =>
        common == 0 ? default : new((double)common / answer.Length, (double)common / reference.Length);
}
