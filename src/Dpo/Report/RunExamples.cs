using System.Text.Json;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>A token and its log-probs, in nats, after all that stands before it.</summary>
public sealed record TokenScore(string Text, double Policy, double Reference);

/// <summary>A pair, token by token.</summary>
public sealed record TokenPair(string Prompt, TokenScore[] Chosen, TokenScore[] Rejected);

/// <summary>A text's continuation before and after the training.</summary>
public sealed record SampleChange(string Prompt, string Before, string After);

/// <summary>What a report shows besides curves: examples.json of a run's folder.</summary>
public sealed record RunExamples(TokenPair[] Pairs, SampleChange[] Samples)
{
    public const string FileName = "examples.json";

    // Pairs and samples of a run, and the most tokens of a sample.
    private const int Shown = 8, MostTokens = 64;

    private static readonly JsonSerializerOptions s_indented = new() { WriteIndented = true };

    /// <summary>Those of a run, or null where it wrote none.</summary>
    /// <exception cref="InputException">The file is none that this class writes.</exception>
    public static RunExamples? Read(string folder)
    {
        var path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
        {
            return null;
        }
        using var json = JsonInput.ReadFile(path);
        try
        {
            var read = json.RootElement.Deserialize<RunExamples>();
            if (read is { Pairs: not null, Samples: not null } && read.Pairs.All(static p => p is { Prompt: not null, Chosen: not null, Rejected: not null }
                && p.Chosen.Concat(p.Rejected).All(static t => t is { Text: not null })) && read.Samples.All(static s => s is { Prompt: not null, Before: not null, After: not null }))
            {
                return read;
            }
        }
        catch (JsonException)
        {
            // Said below, as for what is missing.
        }
        throw new InputException(path, null, "does not hold pairs and samples", "delete the file: the report does without");
    }

    public void Write(string folder) => AtomicFile.WriteText(Path.Combine(folder, FileName), JsonSerializer.Serialize(this, s_indented) + "\n");

    /// <summary>The first pairs of different prompts, token by token, and those prompts continued at temperature 1 by both models.</summary>
    /// <param name="policy">After the training.</param>
    /// <param name="reference">Before it; the policy itself for what it is without its adapters.</param>
    /// <param name="tokenizer">Of both.</param>
    /// <param name="pairs">Of the data.</param>
    /// <param name="seed">Of the continuations.</param>
    /// <param name="cancellation">Ends it.</param>
    public static RunExamples Of(
        Transformer policy, Transformer reference, ITokenizer tokenizer, IReadOnlyList<PreferencePair> pairs, ulong seed, CancellationToken cancellation = default)
    {
        PreferencePair[] shown = [.. pairs.Where(static p => !p.IsUnpaired).DistinctBy(static p => string.Join(' ', p.Prompt)).Take(Shown)];
        return new RunExamples(
            shown.Length == 0 ? [] : Tokens(policy, reference, tokenizer, shown), Continuations(policy, reference, tokenizer, pairs.Select(static p => p.Prompt), seed, cancellation));
    }

    /// <summary>The first different prompts that leave room for it, continued at temperature 1 by both models.</summary>
    /// <param name="policy">After the training.</param>
    /// <param name="before">Before it; the policy itself for what it is without its adapters.</param>
    /// <param name="tokenizer">Of both.</param>
    /// <param name="prompts">Some texts.</param>
    /// <param name="seed">Of the continuations.</param>
    /// <param name="cancellation">Ends it.</param>
    public static SampleChange[] Continuations(
        Transformer policy, Transformer before, ITokenizer tokenizer, IEnumerable<int[]> prompts, ulong seed, CancellationToken cancellation = default)
    {
        var positions = Math.Min(policy.Config.MaxPositions, before.Config.MaxPositions);
        int[][] shown = [.. prompts.Where(p => p.Length < positions).DistinctBy(static p => string.Join(' ', p)).Take(Shown)];
        if (shown.Length == 0)
        {
            return [];
        }
        var options = new GenerationOptions { MaxTokens = Math.Min(MostTokens, positions - shown.Max(static p => p.Length)), EosId = tokenizer.EosId, Seed = seed };
        var (earlier, later) = (OfReference(policy, before, Texts), Texts(policy));
        return [.. shown.Select((prompt, i) => new SampleChange(tokenizer.Decode(prompt), earlier[i], later[i]))];

        string[] Texts(Transformer model) =>
            [.. Generator.Sample(model, shown, options, cancellation: cancellation).Select(c => tokenizer.DecodeContinuation(c.Ended ? c.Tokens.AsSpan(..^1) : c.Tokens))];
    }

    /// <summary>Log-probs of each token of some pairs under both models.</summary>
    /// <param name="policy">After the training.</param>
    /// <param name="reference">Before it; the policy itself for what it is without its adapters.</param>
    /// <param name="tokenizer">Of both.</param>
    /// <param name="pairs">With both completions.</param>
    public static TokenPair[] Tokens(Transformer policy, Transformer reference, ITokenizer tokenizer, IReadOnlyList<PreferencePair> pairs)
    {
        var (p, r) = (LogProbs(policy, pairs), OfReference(policy, reference, model => LogProbs(model, pairs)));
        // All chosen completions come before all rejected ones.
        var next = 0;
        var chosen = pairs.Select(pair => Scores(pair.Chosen)).ToList();
        var rejected = pairs.Select(pair => Scores(pair.Rejected)).ToList();
        return [.. pairs.Select((pair, i) => new TokenPair(tokenizer.Decode(pair.Prompt), chosen[i], rejected[i]))];

        TokenScore[] Scores(int[] ids) => [.. ids.Select(id => new TokenScore(tokenizer.DecodeContinuation([id]), p[next], r[next++]))];
    }

    private static T OfReference<T>(Transformer policy, Transformer reference, Func<Transformer, T> measure) =>
        reference == policy ? policy.WithoutAdapters(() => measure(policy)) : measure(reference);

    private static Real[] LogProbs(Transformer model, IReadOnlyList<PreferencePair> pairs)
    {
        using var step = new StepScope(model.Backend, gradients: false);
        return model.TokenLogProbs(PreferencePairs.Pack(model.Backend, pairs)).ToArray();
    }
}
