using TinyDpo.Kernels;

namespace TinyDpo.Dpo;

/// <summary>Which prefixes may be drawn: those to train on, or those kept back for tests. No prefix is in both.</summary>
public enum PrefixSplit
{
    Train,
    HeldOut,
}

/// <summary>
/// A task with a known truth: prefixes from a probabilistic grammar, a writer who continues them, a true reward for any continuation, and an
/// exact test of membership. A continuation starts with a space. All draws are Philox numbers addressed by (seed, index), so any text can be
/// had without those before it.
/// </summary>
public abstract class World
{
    /// <summary>How sharply the annotator sees the difference of two true rewards: P(a preferred to b) = sigma(8 (r(a) - r(b))).</summary>
    public const double PreferenceScale = 8;

    /// <summary>One prefix in so many is held out.</summary>
    private const uint HeldOutShare = 8;

    private const int PrefixDraws = 0, ContinuationDraws = 1;

    private readonly Language _prefixes;

    private protected World(string name, Language prefixes) => (Name, _prefixes) = (name, prefixes);

    /// <summary>The world of the demonstration.</summary>
    public static World Reviews { get; } = new ReviewWorld();

    /// <summary>Short reports, to be summed up.</summary>
    public static World Summaries { get; } = new SummaryWorld();

    /// <summary>Questions, to be answered in one turn.</summary>
    public static World Dialogue { get; } = new DialogueWorld();

    public static IReadOnlyList<World> All { get; } = [Reviews, Summaries, Dialogue];

    public string Name { get; }

    /// <summary>A whole text: prefix and continuation joined.</summary>
    public string SampleText(ulong seed, int index, PrefixSplit split = PrefixSplit.Train)
    {
        var (prefix, continuation) = Sample(seed, index, split);
        return prefix + continuation;
    }

    public (string Prefix, string Continuation) Sample(ulong seed, int index, PrefixSplit split = PrefixSplit.Train)
    {
        var prefix = SamplePrefix(seed, index, split);
        return (prefix, SampleContinuation(prefix, seed, index));
    }

    /// <summary>A prefix from the given split alone. Two indices may draw the same one.</summary>
    public string SamplePrefix(ulong seed, int index, PrefixSplit split = PrefixSplit.Train)
    {
        var uniform = Draws(seed, PrefixDraws, index);
        while (true)
        {
            var prefix = _prefixes.Sample(uniform);
            if (SplitOf(prefix) == split)
            {
                return prefix;
            }
        }
    }

    /// <summary>What the world's writer makes of one of its prefixes.</summary>
    public string SampleContinuation(string prefix, ulong seed, int index) => " " + Writer(prefix).Sample(Draws(seed, ContinuationDraws, index));

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

    /// <summary>
    /// Whether both parts have the form that the world's texts have. What a continuation says of its prefix is not looked at: that is the
    /// reward's matter.
    /// </summary>
    public bool Accepts(string prefix, string continuation) =>
        AcceptsPrefix(prefix) && continuation.StartsWith(' ') && Continuations.Accepts(continuation[1..]);

    public bool AcceptsPrefix(string prefix) => _prefixes.Accepts(prefix);

    /// <summary>The true reward of any text after any prefix, in [0, 1].</summary>
    public abstract double Reward(string prefix, string continuation);

    /// <summary>P(a preferred to b) of the Bradley-Terry annotator.</summary>
    public static double PreferenceProbability(double rewardA, double rewardB) => BradleyTerry.Probability(PreferenceScale, rewardA, rewardB);

    /// <summary>Continuations without their leading space.</summary>
    private protected abstract Language Continuations { get; }

    /// <summary>What the writer may make of a prefix, a part of <see cref="Continuations"/>.</summary>
    private protected abstract Language Writer(string prefix);

    private static Func<double> Draws(ulong seed, int what, int index)
    {
        var position = 0;
        return () => Philox.Uniform(seed, RandomPurpose.World, what, index, position++);
    }
}
