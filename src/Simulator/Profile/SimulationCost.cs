namespace TinyDpo.Simulator;

/// <summary>What a simulation has cost so far.</summary>
/// <param name="Kernels">By kernel; empty without counters.</param>
/// <param name="Products">Matrix products by shape.</param>
/// <param name="Times">Processor time that this process spent in each kernel, over all its threads.</param>
public sealed record SimulationCost(
    IReadOnlyList<LaunchCounters> Kernels, IReadOnlyList<ProductCounters> Products, IReadOnlyDictionary<string, TimeSpan> Times);
