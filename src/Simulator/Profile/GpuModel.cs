namespace TinyDpo.Simulator;

/// <summary>What limits an estimated time.</summary>
public enum GpuLimit
{
    /// <summary>Bytes through the memory.</summary>
    Memory,
    Float,
    Double,

    /// <summary>Warp instructions that the schedulers can issue.</summary>
    Issue,

    /// <summary>The tensor cores, for products with TF32 inputs.</summary>
    Tensor,
}

/// <summary>The longest of the times that each limit alone would take.</summary>
public readonly record struct TimeEstimate(double Seconds, GpuLimit Limit);

/// <summary>
/// A card by the peak rates of its datasheet, and times by the roofline of them (Williams, Waterman and Patterson 2009). A lower bound in
/// most ways (no latency, no occupancy, no launch overhead, peak rates) and an upper one in another (no cache serves a sector twice): an
/// estimate, never a measurement.
/// </summary>
/// <param name="Name">As --gpu takes it.</param>
/// <param name="Source">Where the numbers stand.</param>
/// <param name="BytesPerSecond">Peak bandwidth of the memory.</param>
/// <param name="Float">Peak FP32 operations a second outside the tensor cores; a fused multiply-add is two.</param>
/// <param name="Double">The same for FP64.</param>
/// <param name="Tf32">Peak dense TF32 operations a second of the tensor cores; 0 where they do not have it.</param>
/// <param name="Multiprocessors">Their number; each has four schedulers that issue a warp instruction a clock.</param>
/// <param name="Clock">Boost clock in Hz.</param>
public sealed record GpuModel(
    string Name, string Source, double BytesPerSecond, double Float, double Double, double Tf32, int Multiprocessors, double Clock)
{
    private const int SectorBytes = 32;
    private const int Lanes = 32;
    private const int Schedulers = 4;
    private const int OperationsOfAnFma = 2;

    public static IReadOnlyList<GpuModel> All { get; } =
    [
        new("T4", "NVIDIA T4 datasheet; Turing architecture whitepaper (multiprocessors, clock, FP64)", 320e9, 8.1e12, 0.254e12, 0, 40, 1.59e9),
        new("A100", "NVIDIA A100 datasheet, 80 GB SXM; Ampere architecture whitepaper (multiprocessors, clock)", 2039e9, 19.5e12, 9.7e12, 156e12, 108, 1.41e9),
        new("H100", "NVIDIA H100 datasheet, SXM (TF32 without sparsity: half of the figure there); Hopper architecture whitepaper (multiprocessors, clock)",
            3350e9, 67e12, 34e12, 494.5e12, 132, 1.98e9),
        new("RTX4090", "NVIDIA Ada GPU architecture whitepaper, GeForce RTX 4090", 1008e9, 82.6e12, 1.29e12, 82.6e12, 128, 2.52e9),
    ];

    /// <summary>Warp instructions a second that all schedulers issue.</summary>
    public double IssueRate => Multiprocessors * Schedulers * Clock;

    /// <summary>The time of a kernel. Each sector that a request touches comes from memory; a warp instruction takes all its lanes' slots.</summary>
    public TimeEstimate Estimate(LaunchCounters cost) => Longest(
        ((cost.ReadSectors + cost.WriteSectors) * SectorBytes / BytesPerSecond, GpuLimit.Memory),
        (Operations(cost, InstructionClass.Float) / Float, GpuLimit.Float),
        (Operations(cost, InstructionClass.Double) / Double, GpuLimit.Double),
        (cost.WarpInstructions / IssueRate, GpuLimit.Issue));

    /// <summary>The time of matrix products: each operand moved once.</summary>
    public TimeEstimate Estimate(ProductCounters cost) => Longest(
        ((cost.ReadBytes + cost.WrittenBytes) / BytesPerSecond, GpuLimit.Memory),
        cost.Tf32 && Tf32 > 0 ? (cost.Flops / Tf32, GpuLimit.Tensor) : (cost.Flops / Float, GpuLimit.Float));

    private static double Operations(LaunchCounters cost, InstructionClass kind) =>
        (double)cost.Instructions[(int)kind] * Lanes * OperationsOfAnFma;

    private static TimeEstimate Longest(params ReadOnlySpan<(double Seconds, GpuLimit Limit)> times)
    {
        var longest = times[0];
        foreach (var time in times)
        {
            longest = time.Seconds > longest.Seconds ? time : longest;
        }
        return new TimeEstimate(longest.Seconds, longest.Limit);
    }
}
