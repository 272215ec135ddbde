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
    /// <summary>The figures by name; those with _low and _high are the ends of the 95 % interval.</summary>
    /// <exception cref="InputException">Bad input.</exception>
    public static IReadOnlyList<(string Name, double Value)> Run(EvalRunOptions run, IBackend backend, IRunLog log, CancellationToken cancellation)
    {
        var (policy, tokenizer) = ModelFile.Load(run.Policy, backend, run.Tokenizer);
        var reference = ModelFile.LoadWeights(run.Reference, backend);
        if (policy.Config.VocabSize != reference.Config.VocabSize)
        {
            throw new InputException(
                run.Reference, "vocab_size", $"is {reference.Config.VocabSize}, but the policy's is {policy.Config.VocabSize}",
                "give a reference with the policy's tokenizer");
        }
        var prompts = PromptSet.Read(run.Prompts, tokenizer, policy.Config);
        var c = PolicyComparison.Measure(policy, reference, tokenizer, prompts, run.Generation(tokenizer.EosId), run.Reward, log, cancellation);
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
        ];

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
}
