namespace TinyDpo.Dpo;

/// <summary>
/// The true reward of the review world: the logistic function of what the first, the second and the last sentence are worth; the last, the
/// verdict, counts more. A sentence is worth the sum of its words' valences, scaled by a degree or turned round by a negation just before,
/// within bounds. A word counts once in a text, what stands between the second sentence and the last counts nothing: heaping up praise
/// gains nothing, and no text at all is worth more than the best review of the grammar.
/// </summary>
internal static class ReviewReward
{
    private const double SentenceBound = 4;
    private const double VerdictWeight = 1.5;
    private const double Scale = 4.8;

    /// <summary>The best and the worst reward that any text can have.</summary>
    public static readonly double Best = Logistic((2 + VerdictWeight) * SentenceBound / Scale), Worst = 1 - Best;

    /// <summary>The reward of any text, in (0, 1).</summary>
    public static double Of(string text)
    {
        var sentences = SentenceValues(text);
        if (sentences.Count == 0)
        {
            return 0.5;
        }
        var body = sentences.SkipLast(1).Take(2).Sum();
        return Logistic((body + (VerdictWeight * sentences[^1])) / Scale);
    }

    private static List<double> SentenceValues(string text)
    {
        var counted = new HashSet<string>();
        var sentences = new List<double>();
        double sentence = 0;
        var worded = false;
        string before = "", beforeThat = "";
        foreach (var part in text.ToLowerInvariant().Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries))
        {
            var word = Language.Bare(part);
            worded |= word.Length > 0;
            if (ReviewWorldRules.Valence.TryGetValue(word, out var valence) && counted.Add(word))
            {
                sentence += valence * Modifier(before, beforeThat);
            }
            (beforeThat, before) = (before, word);
            if (part[^1] is '.' or '!' or '?')
            {
                EndSentence();
            }
        }
        EndSentence();
        return sentences;

        void EndSentence()
        {
            if (worded)
            {
                sentences.Add(Math.Clamp(sentence, -SentenceBound, SentenceBound));
            }
            (sentence, worded, before, beforeThat) = (0, false, "", "");
        }
    }

    private static double Logistic(double x) => 1 / (1 + Math.Exp(-x));

    /// <summary>At most one degree word and one negation act: "really really good" is not better than "really good".</summary>
    private static double Modifier(string before, string beforeThat)
    {
        if (ReviewWorldRules.Negation.TryGetValue(before, out var negation))
        {
            return negation;
        }
        if (!ReviewWorldRules.Degree.TryGetValue(before, out var degree))
        {
            return 1;
        }
        return ReviewWorldRules.Negation.TryGetValue(beforeThat, out negation) ? degree * negation : degree;
    }
}
