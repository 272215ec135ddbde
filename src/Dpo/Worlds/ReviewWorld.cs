using TinyDpo.Kernels;

namespace TinyDpo.Dpo;

/// <summary>Which prefixes may be drawn: those to train on, or those kept back for tests. No prefix is in both.</summary>
public enum PrefixSplit
{
    Train,
    HeldOut,
}

/// <summary>
/// A world with a known truth: short film reviews from a probabilistic grammar with a latent sentiment, a true reward for any text, and an
/// exact test of membership. A review is a prefix (neutral opening) and a continuation (which starts with a space and holds the sentiment).
/// Texts are lower case, words apart by one space, commas and full stops attached to the word before. All draws are Philox numbers
/// addressed by (seed, index), so any review can be had without those before it.
/// </summary>
public static class ReviewWorld
{
    /// <summary>How sharply the annotator sees the difference of two true rewards: P(a preferred to b) = sigma(8 (r(a) - r(b))).</summary>
    public const double PreferenceScale = 8;

    /// <summary>One prefix in so many is held out.</summary>
    private const uint HeldOutShare = 8;

    private const int PrefixDraws = 0, ContinuationDraws = 1;

    /// <summary>A whole review: prefix and continuation joined.</summary>
    public static string SampleReview(ulong seed, int index, PrefixSplit split = PrefixSplit.Train)
    {
        var (prefix, continuation) = Sample(seed, index, split);
        return prefix + continuation;
    }

    public static (string Prefix, string Continuation) Sample(ulong seed, int index, PrefixSplit split = PrefixSplit.Train) =>
        (SamplePrefix(seed, index, split), SampleContinuation(seed, index));

    /// <summary>A neutral opening of 6 to 10 words, from the given split alone. Two indices may draw the same prefix.</summary>
    public static string SamplePrefix(ulong seed, int index, PrefixSplit split = PrefixSplit.Train)
    {
        var uniform = Draws(seed, PrefixDraws, index);
        while (true)
        {
            var prefix = Render(ReviewWorldRules.Grammar.Sample(ReviewWorldRules.Prefix, uniform));
            if (SplitOf(prefix) == split)
            {
                return prefix;
            }
        }
    }

    /// <summary>A continuation, independent of the prefix, its latent sentiment drawn first.</summary>
    public static string SampleContinuation(ulong seed, int index) =>
        " " + Render(ReviewWorldRules.Grammar.Sample(ReviewWorldRules.Latent, Draws(seed, ContinuationDraws, index)));

    /// <summary>The split of a prefix: a function of its text alone (FNV-1a), the same for every seed.</summary>
    public static PrefixSplit SplitOf(string prefix)
    {
        var hash = 2166136261u;
        foreach (var c in prefix)
        {
            hash = (hash ^ c) * 16777619u;
        }
        // The high half: FNV's low bits mix poorly.
        return (hash >> 16) % HeldOutShare == 0 ? PrefixSplit.HeldOut : PrefixSplit.Train;
    }

    /// <summary>Whether the grammar gives this text a probability above zero under at least one latent sentiment.</summary>
    public static bool Accepts(string prefix, string continuation) =>
        AcceptsPrefix(prefix) && continuation.StartsWith(' ') &&
        Words(continuation[1..]) is { } words && ReviewWorldRules.Grammar.Accepts(ReviewWorldRules.Latent, words);

    public static bool AcceptsPrefix(string prefix) =>
        Words(prefix) is { } words && ReviewWorldRules.Grammar.Accepts(ReviewWorldRules.Prefix, words);

    /// <summary>The true reward of any text, in (0, 1); 0.5 where it says nothing. See <see cref="ReviewReward"/>.</summary>
    public static double Reward(string continuation) => ReviewReward.Of(continuation);

    /// <summary>P(a preferred to b) of the Bradley-Terry annotator.</summary>
    public static double PreferenceProbability(double rewardA, double rewardB) =>
        BradleyTerry.Probability(PreferenceScale, rewardA, rewardB);

    private static Func<double> Draws(ulong seed, int what, int index)
    {
        var position = 0;
        return () => Philox.Uniform(seed, RandomPurpose.World, what, index, position++);
    }

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
    private static List<string>? Words(string text)
    {
        var words = new List<string>();
        foreach (var part in text.Split(' '))
        {
            var word = part.EndsWith('.') || part.EndsWith(',') ? part[..^1] : part;
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
