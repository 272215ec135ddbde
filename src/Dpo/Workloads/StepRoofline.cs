using System.Diagnostics;
using TinyDpo.Kernels;

namespace TinyDpo.Dpo;

/// <summary>A kernel of a DPO step at one shape.</summary>
/// <param name="Seconds">Of all its calls in a step: the least of the counted steps.</param>
/// <param name="Flops">Of all its calls in a step.</param>
/// <param name="Bytes">The fewest that they can move.</param>
public sealed record RooflineRow(string Kernel, string Shape, int Calls, double Seconds, double Flops, double Bytes)
{
    public double FlopsPerSecond => Flops / Seconds;

    public double BytesPerSecond => Bytes / Seconds;

    /// <summary>Operations a byte.</summary>
    public double Intensity => Flops / Bytes;
}

/// <summary>Every kernel of a DPO step against what the machine can do (Williams et al. 2009, "Roofline").</summary>
/// <param name="Rows">The longest first.</param>
/// <param name="StepSeconds">The shortest step.</param>
/// <param name="BetweenSeconds">The least of a step that lay between the kernels.</param>
/// <param name="Peak">Operations a second at most; the best of a measurement after each step.</param>
/// <param name="Bandwidth">Bytes a second from memory: <see cref="MemoryBandwidth"/>; measured likewise.</param>
public sealed record StepRoofline(IReadOnlyList<RooflineRow> Rows, double StepSeconds, double BetweenSeconds, double Peak, double Bandwidth)
{
    // The clock may stand still in a short kernel.
    private static readonly double s_tick = 1.0 / Stopwatch.Frequency;

    /// <summary>The share of its limit that a kernel reaches: the lower of the peak and what the bandwidth allows at its intensity.</summary>
    public double OfLimit(RooflineRow row) => Math.Max(row.FlopsPerSecond / Peak, row.BytesPerSecond / Bandwidth);

    /// <exception cref="InputException">As <see cref="StepBenchmark.Run"/>.</exception>
    public static StepRoofline Run(Workload workload, int steps, CpuBackend backend)
    {
        using var measured = new MeasuredBackend(backend);
        var rows = new Dictionary<(string, string), RooflineRow>();
        double peak = 0, bandwidth = 0;
        var inKernels = new List<double>();
        var result = StepBenchmark.Run(workload, weights: null, steps, measured, counting: measured.Clear, counted: () =>
        {
            inKernels.Add(measured.Costs.Sum(static c => c.Seconds));
            foreach (var cost in measured.Costs)
            {
                var row = new RooflineRow(cost.Kernel, cost.Shape, cost.Calls, Math.Max(cost.Seconds, s_tick), cost.Flops, cost.Bytes);
                if (!rows.TryGetValue((cost.Kernel, cost.Shape), out var best) || row.Seconds < best.Seconds)
                {
                    rows[(cost.Kernel, cost.Shape)] = row;
                }
            }
            peak = Math.Max(peak, backend.MeasurePeak());
            bandwidth = Math.Max(bandwidth, backend.MeasureBandwidth());
            measured.Clear();
        });
        var between = Enumerable.Range(0, steps).Min(i => (result.Milliseconds[i] / 1000) - inKernels[i]);
        return new StepRoofline([.. rows.Values.OrderByDescending(static r => r.Seconds)], result.Milliseconds.Min() / 1000, between, peak, bandwidth);
    }
}
