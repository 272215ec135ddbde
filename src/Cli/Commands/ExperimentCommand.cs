using System.CommandLine;
using TinyDpo.Dpo;

namespace TinyDpo.Cli;

/// <summary>tinydpo experiment: the paper's comparisons in the review world.</summary>
internal static class ExperimentCommand
{
    public static Command Create()
    {
        var name = new Argument<string>("NAME") { Description = string.Join(", ", ExperimentRun.Names) + ", or all." };
        var folder = CommonOptions.Out("Where runs, tables and figures go; runs that are there are not repeated.");
        var seeds = CommonOptions.Within("--seeds", "Seeds, from 1 on.", 1, 1, 100);
        var quick = new Option<bool>("--quick") { Description = "Smaller, in two minutes." };
        var quiet = CommonOptions.Quiet();
        var command = new Command("experiment", "Compare DPO with PPO and the paper's baselines where the true reward is known.")
        {
            name, folder, seeds, quick, quiet,
        };
        var device = new DeviceFlags(command);
        command.SetAction((parsed, cancellation) =>
        {
            var asked = parsed.GetRequiredValue(name);
            IReadOnlyList<string> names = asked == "all" ? ExperimentRun.Names : ExperimentRun.Names.Contains(asked)
                ? [asked]
                : throw new UsageException($"there is no experiment '{asked}': give one of {string.Join(", ", ExperimentRun.Names)}, or all");
            var path = parsed.GetRequiredValue(folder);
            var options = parsed.GetValue(quick)
                ? ExperimentOptions.Quick(path, parsed.GetValue(seeds))
                : new ExperimentOptions { Out = path, Seeds = parsed.GetValue(seeds) };
            using var backend = device.Open(parsed);
            foreach (var experiment in names)
            {
                var report = RunConsole.Run(parsed.GetValue(quiet), log => ExperimentRun.Run(experiment, options, backend, log, cancellation));
                Console.WriteLine(report.Markdown);
                Console.WriteLine($"Written: {Path.Combine(path, experiment + ".md")}, {Path.Combine(path, experiment + ".html")}");
            }
            return Task.FromResult(CommandLine.Success);
        });
        return command;
    }
}
