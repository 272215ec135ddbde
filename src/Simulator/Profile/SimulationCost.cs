namespace TinyDpo.Simulator;

/// <summary>What a simulation has cost so far.</summary>
/// <param name="Kernels">By kernel; empty without counters.</param>
/// <param name="Products">Matrix products by shape.</param>
/// <param name="Times">Time that this machine spent in each kernel.</param>
/// <param name="Threads">Threads of this machine that executed blocks.</param>
public sealed record SimulationCost(
    IReadOnlyList<LaunchCounters> Kernels, IReadOnlyList<ProductCounters> Products, IReadOnlyDictionary<string, TimeSpan> Times, int Threads);
