using System.Globalization;
using System.Text.Json;
using TinyDpo.Kernels;

namespace TinyDpo.Tests;

/// <summary>Data larger than one would hold: the memory of a run does not grow with its file.</summary>
[Category("Long")]
[Platform(Include = "Linux")]
public class LargeDataTests
{
    private const long Slack = 20 << 20;

    // Of a pair: its place in the scratch file, twice while the list grows, and in the epoch's order.
    private const int BytesPerPair = 28;

    // How much garbage may pile up, in bytes: else as much as the processor's cache holds, which on a large machine hides all that is measured.
    private static readonly (string Name, string Value)[] s_collector = [("DOTNET_GCgen0size", "0x1000000")];

    [TestCase("dpo")]
    [TestCase("sft")]
    [TestCase("reward-model")]
    public void TenTimesTheDataTakesNoMoreMemory(string command)
    {
        using var folder = new TemporaryFolder();
        TinyModelFolder.Save(folder.File("model"));
        var (small, smallPairs) = PeakOf(10_000_000);
        var (large, largePairs) = PeakOf(100_000_000);
        TestContext.Out.WriteLine($"{command}: {smallPairs} pairs {small >> 20} MB, {largePairs} pairs {large >> 20} MB");
        Assert.That(large - small, Is.LessThan(Slack + (BytesPerPair * (largePairs - smallPairs))));

        (long Bytes, long Pairs) PeakOf(int size)
        {
            var data = folder.File($"{size}.jsonl");
            var pairs = Write(data, size);
            var peak = Peak(
                command, "--model", folder.File("model"), "--data", data, "--out", folder.File($"run {size}"), "--max-steps", "3", "--batch-size", "4",
                "--threads", "1", "--quiet");
            File.Delete(data);
            return (peak, pairs);
        }
    }

    // Rows of some 600 bytes, each with words of its own.
    private static long Write(string path, int size)
    {
        using var writer = new StreamWriter(path);
        var rows = 0;
        for (long written = 0; written < size; rows++)
        {
            var line = JsonSerializer.Serialize(new { prompt = $"the film {rows}", chosen = Words(rows, 0), rejected = Words(rows, 1) });
            writer.WriteLine(line);
            written += line.Length + 1;
        }
        return rows;

        static string Words(int row, int which) => string.Join(' ', Enumerable.Range(0, 45).Select(i =>
            (which, (int)(Philox.Uniform(1, RandomPurpose.Test, row, which, i) * 100_000))));
    }

    /// <summary>The most memory that the command held at a time, VmHWM, as last seen before its end.</summary>
    private static long Peak(params string[] args)
    {
        using var process = CommandLineRun.Start(s_collector, args);
        process.StandardInput.Close();
        var peak = 0L;
        do
        {
            peak = Math.Max(peak, HighWater(process.Id));
        }
        while (!process.WaitForExit(20));
        var run = CommandLineRun.Wait(process);
        Assert.That(run.ExitCode, Is.Zero, run.Error);
        return peak;
    }

    private static long HighWater(int process)
    {
        try
        {
            var line = File.ReadLines($"/proc/{process}/status").FirstOrDefault(static line => line.StartsWith("VmHWM:", StringComparison.Ordinal));
            return line is null ? 0 : long.Parse(line.Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries)[^2], CultureInfo.InvariantCulture) * 1024;
        }
        catch (IOException)
        {
            return 0; // it has just ended
        }
    }
}
