using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>A policy against its reference on the same prompts: what the paper reports, and what guards against a policy that cheats.</summary>
public sealed record PolicyComparison
{
    /// <summary>Mean reward of the policy's and of the reference's samples.</summary>
    public required Interval PolicyReward { get; init; }

    public required Interval ReferenceReward { get; init; }

    /// <summary>Mean of the prompt-by-prompt difference.</summary>
    public required Interval RewardRise { get; init; }

    /// <summary>Share of prompts where the policy's sample has the larger reward than an independent one of the reference; a tie counts one half.</summary>
    public required Interval WinRate { get; init; }

    /// <summary>KL(policy || reference) per sequence in nats: see <see cref="PolicyDivergence"/>. Sampled at temperature 1 without cuts.</summary>
    public required Interval Kl { get; init; }

    /// <summary>The reference's mean negative log-prob a token, on the policy's and on its own samples.</summary>
    public required double PolicySampleNll { get; init; }

    public required double ReferenceSampleNll { get; init; }

    /// <summary>Distinct bigrams of words over all bigrams of a sample (Li et al. 2016), as the mean over samples: low where texts repeat themselves.</summary>
    public required double PolicyDistinct2 { get; init; }

    public required double ReferenceDistinct2 { get; init; }

    /// <summary>Share of samples that had to be cut at the token limit.</summary>
    public required double PolicyTruncated { get; init; }

    public required double ReferenceTruncated { get; init; }

    public required ScoredCompletion[] PolicySamples { get; init; }

    public required ScoredCompletion[] ReferenceSamples { get; init; }

    /// <summary>Samples one completion a prompt from each model, scores and compares them.</summary>
    public static PolicyComparison Measure(
        Transformer policy, Transformer reference, ITokenizer tokenizer, IReadOnlyList<(int[] Ids, string Text)> prompts, GenerationOptions options,
        IReward reward, IRunLog log, CancellationToken cancellation = default)
    {
        var policySamples = Sample(policy, options, "sampling the policy");
        // Seeds of their own: with common random numbers the two would agree more than independent samples do, and the win rate with it.
        var referenceSamples = Sample(reference, options with { Seed = options.Seed + 1 }, "sampling the reference");
        log.Stage("KL(policy || reference)", prompts.Count);
        var divergence = PolicyDivergence.Measure(policy, reference, Sequences(policySamples), done: n => log.Advance(n), cancellation: cancellation);
        log.Stage("the reference's own log-probs", prompts.Count);
        var own = PolicyDivergence.LogProbs(reference, Sequences(referenceSamples), done: n => log.Advance(n), cancellation: cancellation);
        var (policyRewards, referenceRewards) = (Rewards(policySamples), Rewards(referenceSamples));
        return new PolicyComparison
        {
            PolicyReward = Statistics.Mean(policyRewards),
            ReferenceReward = Statistics.Mean(referenceRewards),
            RewardRise = Statistics.PairedDifference(policyRewards, referenceRewards),
            WinRate = Statistics.WinRate(policyRewards, referenceRewards),
            Kl = Statistics.Mean(divergence.Kl),
            PolicySampleNll = PerToken(divergence.ReferenceLogProbs, policySamples),
            ReferenceSampleNll = PerToken(own, referenceSamples),
            PolicyDistinct2 = Distinct2(policySamples),
            ReferenceDistinct2 = Distinct2(referenceSamples),
            PolicyTruncated = policySamples.Count(static s => !s.Ended) / (double)policySamples.Length,
            ReferenceTruncated = referenceSamples.Count(static s => !s.Ended) / (double)referenceSamples.Length,
            PolicySamples = policySamples,
            ReferenceSamples = referenceSamples,
        };

        ScoredCompletion[] Sample(Transformer model, GenerationOptions generation, string stage)
        {
            log.Stage(stage, prompts.Count);
            return [.. PairSampler.Sample(model, tokenizer, prompts, 1, generation, reward, n => log.Advance(n), cancellation).Select(static c => c[0])];
        }

        (int[] Prompt, int[] Completion)[] Sequences(ScoredCompletion[] samples) => [.. samples.Select((s, i) => (prompts[i].Ids, s.Tokens))];

        static double[] Rewards(ScoredCompletion[] samples) => [.. samples.Select(static s => s.Reward)];
    }

    private static double PerToken(double[] logProbs, ScoredCompletion[] samples) => -logProbs.Sum() / samples.Sum(static s => s.Tokens.Length);

    private static double Distinct2(ScoredCompletion[] samples) => samples
        .Select(static s => s.Text.ToLowerInvariant().Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries))
        .Select(static words => words.Zip(words.Skip(1)).ToList())
        .Where(static bigrams => bigrams.Count > 0)
        .Select(static bigrams => bigrams.Distinct().Count() / (double)bigrams.Count)
        .DefaultIfEmpty(1).Average();
}
