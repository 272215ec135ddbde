#if !DOUBLE
using System.Globalization;
using Spectre.Console;
using TinyDpo.Simulator;

namespace TinyDpo.Cli;

/// <summary>What a profile shows: a table that can stand in a document, or JSON Lines.</summary>
internal static class ProfileTable
{
    private const int RedirectedWidth = 220;
    private const string Nothing = "";

    public static void Print(ProfileReport report, int steps, bool checks)
    {
        var table = new Table().MarkdownBorder().AddColumn("kernel");
        foreach (var column in new[]
        {
            "launches", "warp instr.", "read", "written", "bytes/fewest", "sectors/request", "sectors/needed", "bank conflicts", "divergent", "atomics",
            "Mflop", "est. us", "limit",
        })
        {
            table.AddColumn(new TableColumn(column).RightAligned());
        }
        foreach (var row in report.Rows)
        {
            table.AddRow(
                row.Kernel, Count(row.Launches), Count(row.WarpInstructions), Bytes(row.ReadBytes), Bytes(row.WrittenBytes), Ratio(row.OfFewestBytes),
                Ratio(row.SectorsPerRequest), Ratio(row.SectorsPerNeeded), Count(row.BankConflicts), Count(row.DivergentBranches), Count(row.Atomics),
                Number(row.Flops / 1e6, "0.0"), Number(row.Estimate.Seconds * 1e6, "0.0"), row.Estimate.Limit.ToString().ToLowerInvariant());
        }
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Out) });
        if (Console.IsOutputRedirected)
        {
            console.Profile.Width = RedirectedWidth;
        }
        console.Write(table);
        var gpu = report.Gpu;
        var rates = string.Create(
            CultureInfo.InvariantCulture,
            $"{gpu.BytesPerSecond / 1e9:0} GB/s, {gpu.Float / 1e12:0.0} TFLOPS FP32, {gpu.IssueRate / 1e9:0} G warp instructions/s");
        Console.WriteLine($"Counted: {steps} DPO {(steps == 1 ? "step" : "steps")}, products by their fewest bytes.");
        Console.WriteLine(
            $"Estimated for {gpu.Name}: {Number(report.Seconds * 1e6 / steps, "0")} us a step. An estimate by the roofline of {rates} ({gpu.Source}): "
            + "no latency, occupancy, launch overhead or caches.");
        Console.WriteLine(
            $"Simulator: {Millions(report.Speed)} M thread-instructions a second a core with counters{(checks ? " and checks" : "")}, "
            + $"{Millions(report.BareSpeed)} M bare.");
    }

    public static void PrintJson(ProfileReport report, int steps)
    {
        foreach (var row in report.Rows)
        {
            JsonLine.Write(new
            {
                kernel = row.Kernel,
                launches = row.Launches,
                warp_instructions = row.WarpInstructions,
                read_bytes = row.ReadBytes,
                written_bytes = row.WrittenBytes,
                of_fewest_bytes = row.OfFewestBytes,
                sectors_per_request = row.SectorsPerRequest,
                sectors_per_needed = row.SectorsPerNeeded,
                shared_requests = row.SharedRequests,
                bank_conflicts = row.BankConflicts,
                divergent_branches = row.DivergentBranches,
                atomics = row.Atomics,
                flops = row.Flops,
                estimate_us = row.Estimate.Seconds * 1e6,
                limit = row.Estimate.Limit.ToString().ToLowerInvariant(),
                simulator_rate = row.Speed,
                simulator_rate_bare = row.BareSpeed,
            });
        }
        JsonLine.Write(new
        {
            gpu = report.Gpu.Name,
            source = report.Gpu.Source,
            steps,
            estimate_us_per_step = report.Seconds * 1e6 / steps,
            simulator_rate = report.Speed,
            simulator_rate_bare = report.BareSpeed,
        });
    }

    private static string Count(long? value) => value is { } v ? v.ToString("#,0", CultureInfo.InvariantCulture) : Nothing;

    private static string Ratio(double? value) => Number(value, "0.00");

    private static string Number(double? value, string format) => value is { } v ? v.ToString(format, CultureInfo.InvariantCulture) : Nothing;

    private static string Millions(double? value) => value is null ? "-" : Number(value / 1e6, "0");

    private static string Bytes(long bytes) => bytes switch
    {
        < 10_000 => $"{bytes} B",
        < 10_000_000 => Number(bytes / 1e3, "0.0") + " kB",
        _ => Number(bytes / 1e6, "0.0") + " MB",
    };
}
#endif
