using System.CommandLine;
using TinyDpo.Dpo;

namespace TinyDpo.Cli;

/// <summary>tinydpo pairs: preferences from a model's own samples.</summary>
internal static class PairsCommand
{
    public static Command Create()
    {
        var model = CommonOptions.Model();
        var tokenizer = CommonOptions.Tokenizer();
        var prompts = Shared.Prompts();
        var reward = Shared.Reward();
        var file = CommonOptions.Out("The JSONL file to write.");
        var completions = CommonOptions.Positive("--completions", "Completions sampled a prompt.", 4);
        var pairing = new Choice<Pairing>(
            "--pairing", "best-worst: one pair a prompt. all: every two completions.", "best-worst",
            ("best-worst", Pairing.BestWorst), ("all", Pairing.All));
        var labels = new Choice<Labelling>(
            "--labels", "ranked: the larger reward is chosen. bradley-terry: drawn by the difference.", "ranked",
            ("ranked", Labelling.Ranked), ("bradley-terry", Labelling.BradleyTerry));
        var scale = CommonOptions.Real(
            "--scale", "The factor on the reward in bradley-terry labels.", World.PreferenceScale, static v => v is > 0 and <= 1e6,
            "above 0, at most 1000000");
        var quiet = CommonOptions.Quiet();
        var command = new Command("pairs", "Sample completions for prompts, rank them by a reward, and write preference pairs.")
        {
            model, tokenizer, prompts, reward, file, completions, pairing.Option, labels.Option, scale, quiet,
        };
        var device = new DeviceFlags(command);
        var sampling = new SamplingFlags(command, maxTokens: 64);
        command.SetAction((parsed, cancellation) =>
        {
            if (labels.Read(parsed) == Labelling.Ranked && parsed.GetResult(scale) is { Implicit: false })
            {
                throw new UsageException("--scale has no effect with --labels ranked: leave it out");
            }
            using var backend = device.Open(parsed);
            var run = new PairsRunOptions
            {
                Model = parsed.GetRequiredValue(model),
                Tokenizer = parsed.GetValue(tokenizer),
                Prompts = parsed.GetRequiredValue(prompts),
                Reward = RewardSpec.Parse(parsed.GetRequiredValue(reward), backend),
                Out = parsed.GetRequiredValue(file),
                Options = eosId => new PairSamplerOptions
                {
                    CompletionsPerPrompt = parsed.GetValue(completions),
                    Pairing = pairing.Read(parsed),
                    Labelling = labels.Read(parsed),
                    Scale = parsed.GetValue(scale),
                    Generation = sampling.Read(parsed, eosId),
                },
            };
            var summary = RunConsole.Run(parsed.GetValue(quiet), log => PairsRun.Run(run, backend, log, cancellation));
            JsonLine.Write(new { pairs = summary.Pairs, mean_chosen_reward = summary.MeanChosenReward, mean_rejected_reward = summary.MeanRejectedReward });
            return Task.FromResult(CommandLine.Success);
        });
        return command;
    }
}
