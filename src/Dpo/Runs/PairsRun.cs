using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>What `tinydpo pairs` is asked for.</summary>
public sealed record PairsRunOptions
{
    public required string Model { get; init; }

    public string? Tokenizer { get; init; }

    public required string Prompts { get; init; }

    public required IReward Reward { get; init; }

    /// <summary>The JSONL file to write.</summary>
    public required string Out { get; init; }

    /// <summary>How to sample and pair, given the tokenizer's end token.</summary>
    public required Func<int, PairSamplerOptions> Options { get; init; }
}

/// <summary>What a set of pairs is like.</summary>
public sealed record PairsSummary(int Pairs, double MeanChosenReward, double MeanRejectedReward);

/// <summary>Preference pairs of a model's own samples, from files to a file.</summary>
public static class PairsRun
{
    /// <exception cref="InputException">Bad input; or no prompt gave two completions that differ.</exception>
    public static PairsSummary Run(PairsRunOptions run, IBackend backend, IRunLog log, CancellationToken cancellation)
    {
        var (model, tokenizer) = ModelFile.Load(run.Model, backend, run.Tokenizer);
        var prompts = PromptSet.Read(run.Prompts, tokenizer, model.Config);
        RunChecks.RequireWritableFile(run.Out);
        var options = run.Options(tokenizer.EosId);
        log.Stage("sampling", prompts.Count * options.CompletionsPerPrompt);
        var completions = PairSampler.Sample(
            model, tokenizer, prompts, options.CompletionsPerPrompt, options.Generation, run.Reward, n => log.Advance(n), cancellation);
        SampledPair[] pairs = [.. PairSampler.Pair(completions, options)];
        if (pairs.Length == 0)
        {
            throw new InputException(
                run.Prompts, null, $"its {prompts.Count} prompts gave no two completions of different reward",
                "give more prompts, more --completions, or a higher --temperature");
        }
        PairWriter.Write(run.Out, pairs.Select(p => PreferenceRow.Of(prompts[p.Prompt], p)));
        return new PairsSummary(pairs.Length, pairs.Average(static p => p.Chosen.Reward), pairs.Average(static p => p.Rejected.Reward));
    }
}
