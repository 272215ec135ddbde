namespace TinyDpo.Simulator;

/// <summary>What the simulator does besides executing.</summary>
public sealed record SimulatorOptions
{
    /// <summary>Whether every access is checked: bounds, alignment, reads of what nobody wrote, races. Off only to measure speed.</summary>
    public bool Checks { get; init; } = true;

    /// <summary>Whether launches are counted: instructions, sectors, bytes, bank conflicts.</summary>
    public bool Counters { get; init; }

    /// <summary>Threads of the host that execute blocks; null for the machine's cores. No result depends on it.</summary>
    public int? Threads { get; init; }

    /// <summary>Bytes of memory that the device has: a T4's.</summary>
    public long MemoryBytes { get; init; } = 16L << 30;
}
