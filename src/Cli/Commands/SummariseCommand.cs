using System.CommandLine;
using TinyDpo.Dpo;

namespace TinyDpo.Cli;

/// <summary>tinydpo experiment summarise: summaries of real texts by a small model trained from scratch.</summary>
internal static class SummariseCommand
{
    public static Command Create()
    {
        var data = CommonOptions.Data("Rows {source: [sentences], target: [summaries]}, to train on.");
        var heldOut = new Option<string>("--held-out") { Description = "Other rows, to measure on.", HelpName = "FILE", Required = true };
        var folder = CommonOptions.Out("Where runs, model and tables go; runs that are there are not repeated.");
        var seeds = ExperimentCommand.Seeds();
        var quick = ExperimentCommand.Quick();
        var quiet = CommonOptions.Quiet();
        var command = new Command(SummariseRun.Name, "Train a small model from scratch to summarise texts, and compare DPO with SFT by ROUGE.")
        {
            data, heldOut, folder, seeds, quick, quiet,
        };
        var device = new DeviceFlags(command);
        command.SetAction((parsed, cancellation) =>
        {
            var options = new SummariseOptions
            {
                Out = parsed.GetRequiredValue(folder),
                Data = parsed.GetRequiredValue(data),
                HeldOut = parsed.GetRequiredValue(heldOut),
                Seeds = parsed.GetValue(seeds),
            };
            using var backend = device.Open(parsed);
            var report = RunConsole.Run(
                parsed.GetValue(quiet), log => SummariseRun.Run(parsed.GetValue(quick) ? options.Quick() : options, backend, log, cancellation));
            ExperimentCommand.Print(report, options.Out);
            return Task.FromResult(CommandLine.Success);
        });
        return command;
    }
}
