using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>Which of a prompt's completions become pairs.</summary>
public enum Pairing
{
    /// <summary>The one with the highest reward against the one with the lowest.</summary>
    BestWorst,

    /// <summary>Every two of them.</summary>
    All,
}

/// <summary>Which completion of a pair is the chosen one.</summary>
public enum Labelling
{
    /// <summary>The one with the larger reward; equal ones make no pair.</summary>
    Ranked,

    /// <summary>Drawn with probability sigmoid(scale (r_a - r_b)), the Bradley-Terry model of the paper's equation 1.</summary>
    BradleyTerry,
}

/// <summary>A sampled completion with its true or lexicon reward.</summary>
/// <param name="Tokens">The end token included, where one was drawn.</param>
/// <param name="Text">Without the end token.</param>
public sealed record ScoredCompletion(int[] Tokens, string Text, bool Ended, double Reward);

/// <summary>Two completions of one prompt, by its index.</summary>
public sealed record SampledPair(int Prompt, ScoredCompletion Chosen, ScoredCompletion Rejected);

/// <summary>How pairs are made of a model's own samples.</summary>
public sealed record PairSamplerOptions
{
    public int CompletionsPerPrompt { get; init; } = 4;

    public Pairing Pairing { get; init; } = Pairing.BestWorst;

    public Labelling Labelling { get; init; } = Labelling.Ranked;

    /// <summary>The factor on the reward in Bradley-Terry labels.</summary>
    public double Scale { get; init; } = World.PreferenceScale;

    public required GenerationOptions Generation { get; init; }
}

/// <summary>Samples completions, scores them with a reward, and pairs them: the data that DPO learns from.</summary>
public static class PairSampler
{
    /// <summary><paramref name="perPrompt"/> scored completions of each prompt, prompt by prompt.</summary>
    public static ScoredCompletion[][] Sample(
        Transformer model, ITokenizer tokenizer, IReadOnlyList<(int[] Ids, string Text)> prompts, int perPrompt, GenerationOptions options,
        IReward reward, Action<int>? done = null, CancellationToken cancellation = default)
    {
        var repeated = prompts.SelectMany(p => Enumerable.Repeat(p.Ids, perPrompt)).ToArray();
        var samples = Generator.Sample(model, repeated, options, done, cancellation);
        return
        [
            .. samples.Chunk(perPrompt).Select((completions, i) => completions
                .Select(c => Score(tokenizer, prompts[i].Text, c, reward)).ToArray()),
        ];
    }

    /// <summary>Pairs of each prompt's completions; two that read the same make none.</summary>
    public static IEnumerable<SampledPair> Pair(IReadOnlyList<ScoredCompletion[]> completions, PairSamplerOptions options)
    {
        for (var prompt = 0; prompt < completions.Count; prompt++)
        {
            var number = 0;
            foreach (var (a, b) in Candidates(completions[prompt], options.Pairing))
            {
                var uniform = Philox.Uniform(options.Generation.Seed, RandomPurpose.Preference, 0, prompt, number++);
                if (a.Text == b.Text || (options.Labelling == Labelling.Ranked && a.Reward == b.Reward))
                {
                    continue;
                }
                var probability = options.Labelling == Labelling.Ranked
                    ? (a.Reward > b.Reward ? 1 : 0)
                    : BradleyTerry.Probability(options.Scale, a.Reward, b.Reward);
                yield return uniform < probability ? new SampledPair(prompt, a, b) : new SampledPair(prompt, b, a);
            }
        }
    }

    private static IEnumerable<(ScoredCompletion A, ScoredCompletion B)> Candidates(ScoredCompletion[] completions, Pairing pairing)
    {
        if (pairing == Pairing.BestWorst)
        {
            if (completions.Length > 1)
            {
                yield return (completions.MaxBy(static c => c.Reward)!, completions.MinBy(static c => c.Reward)!);
            }
            yield break;
        }
        for (var i = 0; i < completions.Length; i++)
        {
            for (var j = i + 1; j < completions.Length; j++)
            {
                yield return (completions[i], completions[j]);
            }
        }
    }

    private static ScoredCompletion Score(ITokenizer tokenizer, string prompt, Continuation sample, IReward reward)
    {
        var text = tokenizer.DecodeContinuation(sample.Ended ? sample.Tokens.AsSpan(0, sample.Tokens.Length - 1) : sample.Tokens);
        return new ScoredCompletion(sample.Tokens, text, sample.Ended, reward.Score(prompt, text));
    }
}
