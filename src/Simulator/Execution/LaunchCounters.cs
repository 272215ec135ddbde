namespace TinyDpo.Simulator;

/// <summary>The kinds of warp instructions that the counters tell apart.</summary>
public enum InstructionClass
{
    Integer,
    Float,
    Double,

    /// <summary>Division, square root, reciprocal.</summary>
    Special,
    Convert,
    LoadGlobal,
    StoreGlobal,
    LoadShared,
    StoreShared,
    Shuffle,
    Barrier,
    Branch,
    Atomic,
    Other,
}

/// <summary>What launches of one kernel cost, added up. A request is one memory instruction of one warp; a sector has 32 bytes.</summary>
public sealed class LaunchCounters
{
    public required string Kernel { get; init; }

    public long Launches { get; set; }

    public long Blocks { get; set; }

    /// <summary>Warp instructions by <see cref="InstructionClass"/>.</summary>
    public long[] Instructions { get; } = new long[Enum.GetValues<InstructionClass>().Length];

    /// <summary>Instructions times active lanes.</summary>
    public long ThreadInstructions { get; set; }

    public long ReadRequests { get; set; }

    public long WriteRequests { get; set; }

    /// <summary>Sectors that read requests touched: what the memory system moves where no cache helps.</summary>
    public long ReadSectors { get; set; }

    public long WriteSectors { get; set; }

    /// <summary>The fewest sectors that could hold the bytes which each request asked for.</summary>
    public long IdealReadSectors { get; set; }

    public long IdealWriteSectors { get; set; }

    /// <summary>Bytes that lanes asked for; lanes that ask for the same byte in one request count once.</summary>
    public long ReadBytes { get; set; }

    public long WrittenBytes { get; set; }

    /// <summary>The fewest bytes that any kernel must move for these results: what the launchers declared.</summary>
    public long NeededReadBytes { get; set; }

    public long NeededWrittenBytes { get; set; }

    public long SharedRequests { get; set; }

    /// <summary>Passes beyond the first that requests to shared memory needed, because two lanes wanted different words of one bank.</summary>
    public long BankConflicts { get; set; }

    /// <summary>Branches at which the lanes of a warp parted.</summary>
    public long DivergentBranches { get; set; }

    public long Atomics { get; set; }

    public long WarpInstructions => Instructions.Sum();

    public void Add(LaunchCounters other)
    {
        Launches += other.Launches;
        Blocks += other.Blocks;
        for (var i = 0; i < Instructions.Length; i++)
        {
            Instructions[i] += other.Instructions[i];
        }
        ThreadInstructions += other.ThreadInstructions;
        ReadRequests += other.ReadRequests;
        WriteRequests += other.WriteRequests;
        ReadSectors += other.ReadSectors;
        WriteSectors += other.WriteSectors;
        IdealReadSectors += other.IdealReadSectors;
        IdealWriteSectors += other.IdealWriteSectors;
        ReadBytes += other.ReadBytes;
        WrittenBytes += other.WrittenBytes;
        NeededReadBytes += other.NeededReadBytes;
        NeededWrittenBytes += other.NeededWrittenBytes;
        SharedRequests += other.SharedRequests;
        BankConflicts += other.BankConflicts;
        DivergentBranches += other.DivergentBranches;
        Atomics += other.Atomics;
    }
}
