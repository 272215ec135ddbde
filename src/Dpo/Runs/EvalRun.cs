using System.Text.Json;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>What `tinydpo eval` is asked for.</summary>
public sealed record EvalRunOptions
{
    public required string Policy { get; init; }

    public required string Reference { get; init; }

    public string? Tokenizer { get; init; }

    public required string Prompts { get; init; }

    public required IReward Reward { get; init; }

    /// <summary>Where every sample is written, or null.</summary>
    public string? Samples { get; init; }

    /// <summary>How to sample, given the tokenizer's end token.</summary>
    public required Func<int, GenerationOptions> Generation { get; init; }
}

/// <summary>A policy against its reference on held-out prompts, from files.</summary>
public static class EvalRun
{
    /// <summary>The figures by name; those with _low and _high are the ends of the 95 % interval. The review world's reward adds what its grammar accepts.</summary>
    /// <exception cref="InputException">Bad input.</exception>
    public static IReadOnlyList<(string Name, double Value)> Run(EvalRunOptions run, IBackend backend, IRunLog log, CancellationToken cancellation)
    {
        var (policy, tokenizer) = ModelFile.Load(run.Policy, backend, run.Tokenizer);
        var reference = ModelFile.LoadWeights(run.Reference, backend);
        RunChecks.RequireSameVocabulary(policy, reference, run.Reference);
        var prompts = PromptSet.Read(run.Prompts, tokenizer, policy.Config);
        var generation = run.Generation(tokenizer.EosId);
        RequireRoom(policy.Config, reference.Config, prompts, generation.MaxTokens, run);
        if (run.Samples is not null)
        {
            RunChecks.RequireWritableFile(run.Samples);
        }
        var c = PolicyComparison.Measure(policy, reference, tokenizer, prompts, generation, run.Reward, log, cancellation);
        if (!double.IsFinite(c.Kl.Estimate))
        {
            throw new InputException(
                run.Policy, null, "its log-probs, or those of the reference, are not finite", "its weights are damaged: copy or train them again");
        }
        if (run.Samples is not null)
        {
            AtomicFile.WriteText(run.Samples, string.Concat(prompts.Select((p, i) => JsonSerializer.Serialize(new
            {
                prompt = p.Text,
                policy = c.PolicySamples[i].Text,
                policy_reward = c.PolicySamples[i].Reward,
                reference = c.ReferenceSamples[i].Text,
                reference_reward = c.ReferenceSamples[i].Reward,
            }) + "\n")));
        }
        return
        [
            ("prompts", prompts.Count),
            .. Named("policy_reward", c.PolicyReward),
            .. Named("reference_reward", c.ReferenceReward),
            .. Named("reward_rise", c.RewardRise),
            .. Named("win_rate", c.WinRate),
            .. Named("kl", c.Kl),
            ("reference_nll_per_token_of_policy_samples", c.PolicySampleNll),
            ("reference_nll_per_token_of_reference_samples", c.ReferenceSampleNll),
            ("policy_distinct_2", c.PolicyDistinct2),
            ("reference_distinct_2", c.ReferenceDistinct2),
            ("policy_truncated", c.PolicyTruncated),
            ("reference_truncated", c.ReferenceTruncated),
            .. run.Reward is WorldReward world ? Grammatical(world) : [],
        ];

        IEnumerable<(string, double)> Grammatical(WorldReward world)
        {
            var prefixes = prompts.Select(static p => p.Text);
            return
            [
                ("policy_grammatical", world.GrammaticalShare(prefixes, c.PolicySamples)),
                ("reference_grammatical", world.GrammaticalShare(prefixes, c.ReferenceSamples)),
            ];
        }

        static IEnumerable<(string, double)> Named(string name, Interval interval)
        {
            yield return (name, interval.Estimate);
            if (double.IsFinite(interval.Low))
            {
                yield return (name + "_low", interval.Low);
                yield return (name + "_high", interval.High);
            }
        }
    }

    // Both models run over the samples of both, so the shorter context holds them all.
    private static void RequireRoom(
        ModelConfig policy, ModelConfig reference, IReadOnlyList<(int[] Ids, string Text)> prompts, int maxTokens, EvalRunOptions run)
    {
        var (shorter, longer) = (Math.Min(policy.MaxPositions, reference.MaxPositions), Math.Max(policy.MaxPositions, reference.MaxPositions));
        var longest = prompts.Max(static p => p.Ids.Length);
        if (shorter < longer && longest + maxTokens > shorter)
        {
            throw new InputException(
                policy.MaxPositions < reference.MaxPositions ? run.Policy : run.Reference, "max_position_embeddings",
                $"is {shorter}, too short for the longest prompt of {longest} tokens and its continuation of up to {maxTokens}",
                "give a smaller --max-tokens, or shorter prompts");
        }
    }
}
