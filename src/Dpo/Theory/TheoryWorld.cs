using TinyDpo.Kernels;

namespace TinyDpo.Dpo;

/// <summary>What a world is made from.</summary>
public sealed record TheoryOptions
{
    public ulong Seed { get; init; } = 1;

    /// <summary>Number of tokens; the last of them ends a sequence.</summary>
    public int Vocabulary { get; init; } = 4;

    /// <summary>The longest sequence, in tokens.</summary>
    public int Length { get; init; } = 4;

    /// <summary>Strength of the pull to the reference, above 0.</summary>
    public double Beta { get; init; } = 0.5;
}

/// <summary>
/// A world so small that every sequence can be listed. A sequence ends with the last token of the vocabulary, or is cut at the longest
/// length; so lengths differ, and the probabilities of all sequences sum to 1. Reference and reward are drawn from the seed.
/// </summary>
public sealed class TheoryWorld
{
    public const int MostSequences = 1024;
    private const int PromptCount = 2;

    private readonly List<int[]> _sequences = [];
    private readonly List<int[]> _prefixes = [];

    /// <exception cref="ArgumentException">The world would have more than <see cref="MostSequences"/> sequences.</exception>
    public TheoryWorld(TheoryOptions options)
    {
        if (CountSequences(options.Vocabulary, options.Length) is var count and > MostSequences)
        {
            throw new ArgumentException($"{count} sequences, where at most {MostSequences} are listed");
        }
        Options = options;
        Extend([]);
        Lengths = [.. _sequences.Select(static s => s.Length)];
        Prompts = [.. Enumerable.Range(0, PromptCount).Select(Draw)];
    }

    public TheoryOptions Options { get; }

    /// <summary>Every sequence, in lexicographic order: those that share a prefix stand together.</summary>
    public IReadOnlyList<int[]> Sequences => _sequences;

    /// <summary>Tokens of each sequence.</summary>
    public int[] Lengths { get; }

    public IReadOnlyList<TheoryPrompt> Prompts { get; }

    /// <summary>Number of sequences: those that end after t tokens, for every t, and those that never end.</summary>
    public static long CountSequences(int vocabulary, int length)
    {
        long count = 0, open = 1;
        for (var t = 0; t < length; t++)
        {
            count += open;
            open *= vocabulary - 1;
        }
        return count + open;
    }

    /// <summary>
    /// KL(p || q) over whole sequences as the sum over prefixes of the probability to come by, times the KL of the two next-token
    /// distributions there: the chain rule, which is how the KL of two models is measured.
    /// </summary>
    public double TokenwiseKl(double[] p, double[] q)
    {
        double kl = 0;
        foreach (var starts in _prefixes)
        {
            var (wholeP, wholeQ) = (Mass(p, starts[0], starts[^1]), Mass(q, starts[0], starts[^1]));
            for (var token = 0; token < starts.Length - 1; token++)
            {
                var (nextP, nextQ) = (Mass(p, starts[token], starts[token + 1]), Mass(q, starts[token], starts[token + 1]));
                kl += Math.Exp(nextP) * (nextP - wholeP - (nextQ - wholeQ));
            }
        }
        return kl;

        static double Mass(double[] logProbs, int from, int to) => LogProbs.LogSumExp(logProbs.AsSpan(from, to - from));
    }

    /// <summary>A standard normal number of this world.</summary>
    /// <param name="what">Which list of numbers.</param>
    /// <param name="sequence">Which list within it.</param>
    /// <param name="position">Place in the list.</param>
    internal double Normal(TheoryDraw what, int sequence, int position) =>
        Philox.Normal(Options.Seed, RandomPurpose.Theory, (int)what, sequence, position);

    /// <summary>A uniform number in [0, 1) of this world.</summary>
    internal double Uniform(TheoryDraw what, int sequence, int position) =>
        Philox.Uniform(Options.Seed, RandomPurpose.Theory, (int)what, sequence, position);

    /// <summary>Standard normal numbers, one a sequence of the world.</summary>
    internal double[] Normals(TheoryDraw what, int list) => [.. _sequences.Select((_, i) => Normal(what, list, i))];

    // A prefix is kept as the places where the sequences of each next token begin, and the end of the last.
    private void Extend(int[] prefix)
    {
        var starts = new int[Options.Vocabulary + 1];
        _prefixes.Add(starts);
        for (var token = 0; token < Options.Vocabulary; token++)
        {
            starts[token] = _sequences.Count;
            int[] longer = [.. prefix, token];
            if (token == Options.Vocabulary - 1 || longer.Length == Options.Length)
            {
                _sequences.Add(longer);
            }
            else
            {
                Extend(longer);
            }
        }
        starts[^1] = _sequences.Count;
    }

    // The reference is drawn token by token, as a model has it; the reward sequence by sequence, without any structure.
    private TheoryPrompt Draw(int prompt)
    {
        var reference = new double[_sequences.Count];
        for (var node = 0; node < _prefixes.Count; node++)
        {
            var starts = _prefixes[node];
            var next = LogProbs.Normalise(
                [.. Enumerable.Range(0, Options.Vocabulary).Select(t => Normal(TheoryDraw.Reference, prompt, (node * Options.Vocabulary) + t))]);
            for (var token = 0; token < next.Length; token++)
            {
                for (var i = starts[token]; i < starts[token + 1]; i++)
                {
                    reference[i] += next[token];
                }
            }
        }
        // The token that ends a sequence begins the prompt: it stands nowhere else, so a model can tell how far it has come. After a prompt
        // of [0] alone, attention averages equal values over 0, 0 0 and 0 0 0, and could not.
        return new TheoryPrompt(prompt, [Options.Vocabulary - 1, prompt], reference, Normals(TheoryDraw.Reward, prompt), Options.Beta);
    }
}

/// <summary>What a random number of the world is for.</summary>
internal enum TheoryDraw
{
    Reference,
    Reward,
    Shift,
    Policy,
    Start,
    Direction,
    Sample,
    AnswerSet,
}
