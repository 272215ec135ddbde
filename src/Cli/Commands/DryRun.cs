using System.CommandLine;
using System.Globalization;
using Spectre.Console;
using TinyDpo.Dpo;
using TinyDpo.Kernels;

namespace TinyDpo.Cli;

/// <summary>--dry-run of the training commands: what a run would take, as JSON on stdout and as a table on stderr.</summary>
internal static class DryRun
{
    /// <param name="quiet">No table and no progress.</param>
    /// <param name="training">The run's options.</param>
    /// <param name="tokenBudget">The most tokens of a micro-batch.</param>
    /// <param name="adapters">Whether the command can train adapters.</param>
    /// <param name="run">The run, with DryRun set.</param>
    /// <param name="idle">Options that have no effect on it.</param>
    /// <exception cref="UsageException">One of them is given.</exception>
    public static int Run(
        ParseResult parsed, DeviceFlags device, bool quiet, TrainingOptions training, int tokenBudget, bool adapters,
        Func<IBackend, IRunLog, TrainingResult> run, params Option[] idle)
    {
        if (Array.Find(idle, option => parsed.GetResult(option) is { Implicit: false }) is { } given)
        {
            throw new UsageException($"{given.Name} has no effect with --dry-run: leave it out");
        }
        var (memory, peak, standIn) = device.Limits(parsed);
        var needs = RunConsole.Run(quiet, log => RunNeeds.Of(backend => run(backend, log), device.Threads(parsed), standIn));
        var fits = needs.Total <= memory;
        var remedies = fits ? [] : needs.Remedies(training, tokenBudget, adapters);
        var seconds = needs.FlopsPerStep / peak;
        JsonLine.Write(new
        {
            parameters_bytes = needs.Parameters,
            gradients_bytes = needs.Gradients,
            optimizer_bytes = needs.OptimiserState,
            reference_bytes = needs.Reference,
            activations_bytes = needs.Activations,
            scratch_bytes = needs.Scratch,
            total_bytes = needs.Total,
            machine_bytes = memory,
            fits,
            largest_micro_batch_tokens = needs.LargestMicroBatch,
            examples = needs.Examples,
            epochs = needs.Epochs,
            steps = needs.Steps,
            flops_per_step = needs.FlopsPerStep,
            peak_flops_per_second = peak,
            estimated_seconds_per_step = seconds,
            remedies,
        });
        if (!quiet)
        {
            Print(needs, memory, seconds, fits, remedies);
        }
        return CommandLine.Success;
    }

    private static void Print(RunNeeds needs, long memory, double? seconds, bool fits, IReadOnlyList<string> remedies)
    {
        var table = new Table().RoundedBorder().AddColumn("").AddColumn(new TableColumn("MiB").RightAligned());
        table.AddRow("parameters", MiB(needs.Parameters));
        table.AddRow("gradients", MiB(needs.Gradients));
        table.AddRow("optimizer state", MiB(needs.OptimiserState));
        table.AddRow("reference", needs.Reference == 0 ? "none" : MiB(needs.Reference));
        table.AddRow($"activations, {needs.LargestMicroBatch} tokens at most", MiB(needs.Activations));
        table.AddRow("scratch of the kernels", MiB(needs.Scratch));
        table.AddRow("in all", MiB(needs.Total));
        table.AddRow("the machine has", MiB(memory));
        AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) }).Write(table);
        Console.Error.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"Examples: {needs.Examples}, epochs: {needs.Epochs}, steps: {needs.Steps}, each of {needs.FlopsPerStep / 1e9:0.###} GFLOP."));
        if (seconds is { } estimate)
        {
            Console.Error.WriteLine(string.Create(
                CultureInfo.InvariantCulture, $"An estimate, at the processor's peak, which no real step reaches: {estimate:0.####} s a step, {estimate * needs.Steps:0} s in all."));
        }
        Console.Error.WriteLine(fits ? "It fits." : remedies.Count == 0 ? "It does not fit." : "It does not fit. What would help:");
        foreach (var remedy in remedies)
        {
            Console.Error.WriteLine($"  {remedy}");
        }
    }

    private static string MiB(long bytes) => (bytes / 1048576.0).ToString("0.0", CultureInfo.InvariantCulture);
}
