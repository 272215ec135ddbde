using System.CommandLine;
using TinyDpo.Dpo;
#if !DOUBLE
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Simulator;
#endif

namespace TinyDpo.Cli;

/// <summary>tinydpo profile: what every kernel costs, counted on the simulated card.</summary>
internal static class ProfileCommand
{
    public static Command Create()
    {
        var workload = CommonOptions.Workload();
        var weights = new Option<string?>("--weights") { Description = "Starting weights under Hugging Face's names; default: from the seed.", HelpName = "FILE.safetensors" };
        var steps = CommonOptions.Positive("--steps", "DPO steps to count.", 1);
        var gpu = new Choice<string>(
            "--gpu", "The card to estimate times for, by its datasheet.", "T4", ("T4", "T4"), ("A100", "A100"), ("H100", "H100"), ("RTX4090", "RTX4090"));
        var json = new Option<bool>("--json") { Description = "JSON Lines: a line a kernel, then one for all." };
        var kernel = new Option<string?>("--kernel") { Description = "Only kernels whose name holds this; sgemm for the matrix products.", HelpName = "NAME" };
        var noChecks = new Option<bool>("--no-checks") { Description = "Count without checking, which is faster." };
        var tf32 = new Option<bool>("--tf32") { Description = "Matrix products round their inputs to TF32 (10 bits of mantissa)." };
        var threads = CommonOptions.Threads();
        var command = new Command("profile", "Count what every kernel of a DPO step costs on the simulated card, and estimate its time on a real one.")
        {
            workload, weights, steps, gpu.Option, json, kernel, noChecks, tf32, threads,
        };
#if DOUBLE
        command.SetAction(int (ParseResult _) => throw new UsageException("profile simulates a card in single precision, and this is a double build"));
#else
        command.SetAction(parsed =>
        {
            var work = Workload.Read(parsed.GetRequiredValue(workload));
            var model = GpuModel.All.Single(m => m.Name == gpu.Read(parsed));
            var checks = !parsed.GetValue(noChecks);
            var counted = Run(checks, counters: true);
            var bare = Run(checks: false, counters: false);
            var name = parsed.GetValue(kernel);
            var report = ProfileReport.Of(counted, bare, model, name);
            if (report.Rows.Count == 0)
            {
                var names = string.Join(", ", counted.Kernels.Select(static k => k.Kernel).Order());
                throw new InputException(work.Path, null, $"runs no kernel whose name holds '{name}'", $"give one of sgemm, {names}");
            }
            if (parsed.GetValue(json))
            {
                ProfileTable.PrintJson(report, parsed.GetValue(steps));
            }
            else
            {
                ProfileTable.Print(report, parsed.GetValue(steps), checks);
            }
            return CommandLine.Success;

            SimulationCost Run(bool checks, bool counters)
            {
                var options = new SimulatorOptions
                {
                    Checks = checks,
                    Counters = counters,
                    Threads = parsed.GetValue(threads) ?? CommonOptions.DefaultThreads(),
                };
                var driver = new SimulatedCudaDriver(options);
                using var backend = new CudaBackend(driver, new CudaOptions(Tf32: parsed.GetValue(tf32)));
                StepBenchmark.Run(work, parsed.GetValue(weights), parsed.GetValue(steps), backend, warmup: 0, Begin);
                return driver.Cost;

                void Begin()
                {
                    backend.Synchronise();
                    driver.ResetCounters();
                }
            }
        });
#endif
        return command;
    }
}
