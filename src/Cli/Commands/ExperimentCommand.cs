using System.CommandLine;
using TinyDpo.Dpo;

namespace TinyDpo.Cli;

/// <summary>tinydpo experiment: the paper's comparisons in a world whose true reward is known.</summary>
internal static class ExperimentCommand
{
    public static Command Create()
    {
        var name = new Argument<string>("NAME") { Description = string.Join(", ", ExperimentRun.Names) + ", or all." };
        var folder = CommonOptions.Out("Where runs, tables and figures go; runs that are there are not repeated.");
        var seeds = Seeds();
        var task = new Choice<World>(
            "--task", $"What the policies learn to write; {ExperimentRun.Shift} and {ExperimentRun.Judges} are made for {World.Reviews.Name}.", World.Reviews.Name,
            [.. World.All.Select(static world => (world.Name, world))]);
        var quick = Quick();
        var quiet = CommonOptions.Quiet();
        var command = new Command("experiment", "Compare DPO with PPO and the paper's baselines where the true reward is known.")
        {
            name, folder, task.Option, seeds, quick, quiet,
        };
        var device = new DeviceFlags(command);
        command.SetAction((parsed, cancellation) =>
        {
            var (asked, world) = (parsed.GetRequiredValue(name), task.Read(parsed));
            var known = ExperimentRun.NamesIn(world);
            IReadOnlyList<string> names = asked == "all" ? known : known.Contains(asked)
                ? [asked]
                : throw new UsageException($"there is no experiment '{asked}' with --task {world.Name}: give one of {string.Join(", ", known)}, or all");
            var path = parsed.GetRequiredValue(folder);
            var options = parsed.GetValue(quick) ? ExperimentOptions.Quick(path, parsed.GetValue(seeds), world) : ExperimentOptions.Full(path, parsed.GetValue(seeds), world);
            using var backend = device.Open(parsed);
            foreach (var experiment in names)
            {
                var report = RunConsole.Run(parsed.GetValue(quiet), log => ExperimentRun.Run(experiment, options, backend, log, cancellation));
                Print(report, options.Folder);
            }
            return Task.FromResult(CommandLine.Success);
        });
        command.Subcommands.Add(SentimentCommand.Create());
        command.Subcommands.Add(SummariseCommand.Create());
        return command;
    }

    public static Option<int> Seeds() => CommonOptions.Within("--seeds", "Seeds, from 1 on.", 1, 1, 100);

    public static Option<bool> Quick() => new("--quick") { Description = "Smaller, in two minutes." };

    /// <summary>The tables, and where they lie.</summary>
    public static void Print(ExperimentReport report, string folder)
    {
        Console.WriteLine(report.Markdown);
        Console.WriteLine($"Written: {Path.Combine(folder, report.Name + ".md")}, {Path.Combine(folder, report.Name + ".html")}");
    }
}
