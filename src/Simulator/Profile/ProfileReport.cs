namespace TinyDpo.Simulator;

/// <summary>A line of a profile: all launches of a kernel, or all products of one shape. What does not apply is null.</summary>
public sealed record ProfileRow(string Kernel, long Launches, TimeEstimate Estimate)
{
    public long? WarpInstructions { get; init; }

    public required long ReadBytes { get; init; }

    public required long WrittenBytes { get; init; }

    /// <summary>Bytes moved for each byte that any kernel must move for these results.</summary>
    public double? OfFewestBytes { get; init; }

    public double? SectorsPerRequest { get; init; }

    /// <summary>Sectors touched for each sector needed: 1 when neighbouring lanes use neighbouring memory.</summary>
    public double? SectorsPerNeeded { get; init; }

    public long? SharedRequests { get; init; }

    public long? BankConflicts { get; init; }

    public long? DivergentBranches { get; init; }

    public long? Atomics { get; init; }

    public long? Flops { get; init; }

    /// <summary>Thread-instructions that the simulator executed in a second of a core, as it was run.</summary>
    public double? Speed { get; init; }

    /// <summary>The same without counters and checks.</summary>
    public double? BareSpeed { get; init; }
}

/// <summary>What launches cost, what a named card might take for them, and how fast the simulator was.</summary>
public sealed record ProfileReport(GpuModel Gpu, IReadOnlyList<ProfileRow> Rows, double? Speed, double? BareSpeed)
{
    /// <summary>The sum over the rows: kernels of one stream run one after another.</summary>
    public double Seconds => Rows.Sum(static row => row.Estimate.Seconds);

    /// <param name="counted">A run with counters.</param>
    /// <param name="bare">The same run without counters and checks, for the speed; null for none.</param>
    /// <param name="gpu">The card to estimate for.</param>
    /// <param name="name">Only rows whose name holds this; null for all.</param>
    public static ProfileReport Of(SimulationCost counted, SimulationCost? bare, GpuModel gpu, string? name = null)
    {
        var kernels = counted.Kernels.Where(k => IsNamed(k.Kernel, name)).ToList();
        var rows = kernels.Select(kernel => Row(kernel, counted, bare, gpu))
            .Concat(counted.Products.Select(product => Row(product, gpu)).Where(row => IsNamed(row.Kernel, name)))
            .OrderByDescending(static row => row.Estimate.Seconds);
        return new ProfileReport(gpu, [.. rows], Rate(kernels, counted), bare is null ? null : Rate(kernels, bare));
    }

    private static bool IsNamed(string kernel, string? name) => name is null || kernel.Contains(name, StringComparison.OrdinalIgnoreCase);

    private static ProfileRow Row(LaunchCounters cost, SimulationCost counted, SimulationCost? bare, GpuModel gpu) =>
        new(cost.Kernel, cost.Launches, gpu.Estimate(cost))
        {
            WarpInstructions = cost.WarpInstructions,
            ReadBytes = cost.ReadBytes,
            WrittenBytes = cost.WrittenBytes,
            OfFewestBytes = Ratio(cost.ReadBytes + cost.WrittenBytes, cost.NeededReadBytes + cost.NeededWrittenBytes),
            SectorsPerRequest = Ratio(cost.ReadSectors + cost.WriteSectors, cost.ReadRequests + cost.WriteRequests),
            SectorsPerNeeded = Ratio(cost.ReadSectors + cost.WriteSectors, cost.IdealReadSectors + cost.IdealWriteSectors),
            SharedRequests = cost.SharedRequests,
            BankConflicts = cost.BankConflicts,
            DivergentBranches = cost.DivergentBranches,
            Atomics = cost.Atomics,
            Speed = Rate([cost], counted),
            BareSpeed = bare is null ? null : Rate([cost], bare),
        };

    private static ProfileRow Row(ProductCounters cost, GpuModel gpu) =>
        new($"sgemm {(cost.TransA ? 'T' : 'N')}{(cost.TransB ? 'T' : 'N')} {cost.M} x {cost.N} x {cost.K}", cost.Calls, gpu.Estimate(cost))
        {
            ReadBytes = cost.ReadBytes,
            WrittenBytes = cost.WrittenBytes,
            Flops = cost.Flops,
        };

    private static double? Ratio(long value, long of) => of == 0 ? null : (double)value / of;

    private static double? Rate(IReadOnlyList<LaunchCounters> kernels, SimulationCost run)
    {
        var seconds = kernels.Sum(kernel => run.Times.GetValueOrDefault(kernel.Kernel).TotalSeconds);
        return seconds > 0 ? kernels.Sum(static kernel => kernel.ThreadInstructions) / seconds : null;
    }
}
