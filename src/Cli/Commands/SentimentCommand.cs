using System.CommandLine;
using TinyDpo.Dpo;

namespace TinyDpo.Cli;

/// <summary>tinydpo experiment sentiment: reward against KL for a pretrained model.</summary>
internal static class SentimentCommand
{
    public static Command Create()
    {
        var model = CommonOptions.Model();
        var tokenizer = CommonOptions.Tokenizer();
        var prompts = Shared.Prompts();
        var heldOut = new Option<string>("--held-out") { Description = "Other prompts, to measure on.", HelpName = "FILE", Required = true };
        var reward = Shared.Reward();
        var folder = CommonOptions.Out("Where runs, table and figure go; runs that are there are not repeated.");
        var seeds = ExperimentCommand.Seeds();
        var quick = ExperimentCommand.Quick();
        var quiet = CommonOptions.Quiet();
        var command = new Command(SentimentRun.Name, "Compare DPO, PPO and best-of-N on a model of your own, by a reward that is taken for the truth.")
        {
            model, tokenizer, prompts, heldOut, reward, folder, seeds, quick, quiet,
        };
        var device = new DeviceFlags(command);
        command.SetAction((parsed, cancellation) =>
        {
            using var backend = device.Open(parsed);
            var options = new SentimentOptions
            {
                Out = parsed.GetRequiredValue(folder),
                Model = parsed.GetRequiredValue(model),
                Tokenizer = parsed.GetValue(tokenizer),
                Prompts = parsed.GetRequiredValue(prompts),
                HeldOut = parsed.GetRequiredValue(heldOut),
                Reward = RewardSpec.Parse(parsed.GetRequiredValue(reward), backend),
                Seeds = parsed.GetValue(seeds),
            };
            var report = RunConsole.Run(
                parsed.GetValue(quiet), log => SentimentRun.Run(parsed.GetValue(quick) ? options.Quick() : options, backend, log, cancellation));
            ExperimentCommand.Print(report, options.Out);
            return Task.FromResult(CommandLine.Success);
        });
        return command;
    }
}
