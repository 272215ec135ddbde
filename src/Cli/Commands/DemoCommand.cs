using System.CommandLine;
using TinyDpo.Dpo;
using TinyDpo.Kernels;

namespace TinyDpo.Cli;

/// <summary>tinydpo demo: from nothing to a transformer that has learnt preferences.</summary>
internal static class DemoCommand
{
    public static Command Create()
    {
        var folder = new Option<string>("--out") { Description = "Where metrics.jsonl, summary.json and model/ go.", HelpName = "PATH", DefaultValueFactory = _ => Path.Combine("out", "demo") };
        var seed = CommonOptions.Seed(1);
        var quick = new Option<bool>("--quick") { Description = "Smaller, in half a minute." };
        var quiet = CommonOptions.Quiet();
        var command = new Command("demo", "Train a small transformer from scratch, let it learn preferences with DPO, and show what changed.")
        {
            folder, seed, quick, quiet,
        };
        var device = new DeviceFlags(command);
        command.SetAction((parsed, cancellation) =>
        {
            using var backend = device.Open(parsed);
            if (backend is CpuBackend { Threads: > 1 })
            {
                _ = StepCompilation.Start();
            }
            var path = parsed.GetValue(folder)!;
            var options = parsed.GetValue(quick)
                ? DemoOptions.Quick(path, parsed.GetValue(seed))
                : new DemoOptions { Out = path, Seed = parsed.GetValue(seed) };
            var report = RunConsole.Run(parsed.GetValue(quiet), log => DemoRun.Run(options, backend, log, cancellation));
            DemoTable.Print(report, path);
            return Task.FromResult(CommandLine.Success);
        });
        return command;
    }
}
