using System.Globalization;
using Spectre.Console;
using TinyDpo.Dpo;

namespace TinyDpo.Cli;

/// <summary>What a roofline shows: a table that can stand in a document, or JSON Lines.</summary>
internal static class RooflineTable
{
    private const int RedirectedWidth = 160;
    private const int BarLength = 20;

    public static void Print(StepRoofline roofline, bool json)
    {
        if (json)
        {
            foreach (var row in roofline.Rows)
            {
                JsonLine.Write(new
                {
                    kernel = row.Kernel,
                    shape = row.Shape,
                    calls = row.Calls,
                    ms = row.Seconds * 1000,
                    share = row.Seconds / roofline.StepSeconds,
                    flops = row.Flops,
                    bytes = row.Bytes,
                    of_limit = roofline.OfLimit(row),
                });
            }
            return;
        }
        var table = new Table().MarkdownBorder().AddColumn("kernel").AddColumn("shape");
        foreach (var column in new[] { "calls", "ms", "of the step", "GFLOP/s", "GB/s", "flop/byte", "of the limit" })
        {
            table.AddColumn(new TableColumn(column).RightAligned());
        }
        table.AddColumn("");
        foreach (var row in roofline.Rows)
        {
            table.AddRow(
                row.Kernel, row.Shape, Number(row.Calls, "0"), Number(row.Seconds * 1000, "0.000"), Number(row.Seconds / roofline.StepSeconds, "0.0%"),
                Number(row.FlopsPerSecond / 1e9, "0.0"), Number(row.BytesPerSecond / 1e9, "0.0"), Number(row.Intensity, "0.0"),
                Number(roofline.OfLimit(row), "0%"), new string('#', (int)Math.Round(BarLength * Math.Min(roofline.OfLimit(row), 1))));
        }
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Out) });
        if (Console.IsOutputRedirected)
        {
            console.Profile.Width = RedirectedWidth;
        }
        console.Write(table);
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"A step: {roofline.StepSeconds * 1000:0.00} ms, at least {roofline.BetweenSeconds * 1000:0.00} ms of it between kernels. Limits: "
            + $"{roofline.Peak / 1e9:0} GFLOP/s, {roofline.Bandwidth / 1e9:0.0} GB/s from memory (a kernel may exceed that from the caches)."));
    }

    private static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
