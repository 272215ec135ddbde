using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;

namespace TinyDpo.Bench;

/// <summary>What a benchmark found besides its time.</summary>
/// <param name="Work">Operations or bytes of a call.</param>
/// <param name="Unit">GFLOP/s, GB/s or another, of which <paramref name="Work"/> holds 1e9 times as many.</param>
/// <param name="Limit">Work a second that the machine can do, measured before and after; null where there is none.</param>
/// <param name="Error">Against double, after the timing; null where it is checked elsewhere.</param>
internal sealed record Measurement(double Work, string Unit, double? Limit, double? Error);

/// <summary>Measurements by the name of their benchmark: BenchmarkDotNet has no place for them in its own results.</summary>
internal static class Measurements
{
    private static readonly Dictionary<string, Measurement> s_found = [];
    private static readonly Dictionary<string, double> s_shares = [];

    public static void Add(string name, Measurement measurement) => s_found[name] = measurement;

    public static Measurement? Of(BenchmarkCase benchmark) =>
        s_found.GetValueOrDefault(Name(benchmark.Descriptor.WorkloadMethod.Name, benchmark.Parameters.Items.Select(static p => (p.Name, p.Value))));

    /// <summary>The name under which the columns look for what a method with these parameters found.</summary>
    public static string Name(string method, IEnumerable<(string Name, object Value)> parameters) =>
        $"{method} [{string.Join(", ", parameters.OrderBy(static p => p.Name, StringComparer.Ordinal).Select(static p => $"{p.Name}={p.Value}"))}]";

    public static double? Rate(Summary summary, BenchmarkCase benchmark) =>
        Of(benchmark) is { } m && summary[benchmark]?.ResultStatistics is { } s ? m.Work / (s.Median / 1e9) : null;

    public static double? OfLimit(Summary summary, BenchmarkCase benchmark)
    {
        var share = Rate(summary, benchmark) / Of(benchmark)?.Limit;
        if (share is { } found)
        {
            s_shares[benchmark.DisplayInfo] = found;
        }
        return share;
    }

    /// <summary>Benchmarks that were faster than is possible, among those whose rows were shown.</summary>
    public static IReadOnlyList<string> BeyondTheLimit() => [.. s_shares.Where(static s => s.Value > Kernels.KernelTable.MostOfLimit).Select(static s => s.Key)];
}

internal abstract class MeasurementColumn(string name, string legend) : IColumn
{
    public string Id => name;

    public string ColumnName => name;

    public string Legend => legend;

    public bool AlwaysShow => true;

    public ColumnCategory Category => ColumnCategory.Custom;

    public int PriorityInCategory => 0;

    public bool IsNumeric => true;

    public UnitType UnitType => UnitType.Dimensionless;

    public bool IsAvailable(Summary summary) => true;

    public bool IsDefault(Summary summary, BenchmarkCase benchmarkCase) => false;

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style) => GetValue(summary, benchmarkCase);

    public abstract string GetValue(Summary summary, BenchmarkCase benchmarkCase);
}

internal sealed class RateColumn() : MeasurementColumn("Rate", "Operations, bytes or tokens a second in the median call")
{
    public override string GetValue(Summary summary, BenchmarkCase benchmarkCase) => Measurements.Rate(summary, benchmarkCase) is { } rate
        ? FormattableString.Invariant($"{rate / 1e9:0.###} {Measurements.Of(benchmarkCase)!.Unit}")
        : "-";
}

internal sealed class LimitColumn() : MeasurementColumn("OfLimit", "Share of the multiply-add peak or of the memory bandwidth, measured beside it")
{
    public override string GetValue(Summary summary, BenchmarkCase benchmarkCase) =>
        Measurements.OfLimit(summary, benchmarkCase) is { } share ? FormattableString.Invariant($"{share:0.0%}") : "-";
}

internal sealed class ErrorColumn() : MeasurementColumn("VsDouble", "Largest difference from double, in units of the largest number, after the timing")
{
    public override string GetValue(Summary summary, BenchmarkCase benchmarkCase) =>
        Measurements.Of(benchmarkCase)?.Error is { } error ? FormattableString.Invariant($"{error:0.0e+0}") : "-";
}
