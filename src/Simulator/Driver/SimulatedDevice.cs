namespace TinyDpo.Simulator;

/// <summary>
/// The limits of the card that is simulated: NVIDIA's T4 (compute capability 7.5), because it has the least shared memory of those that
/// the kernels are for; what fits it fits the others. Numbers: CUDA C++ Programming Guide, table "Technical Specifications per Compute
/// Capability".
/// </summary>
internal static class SimulatedDevice
{
    public const string Name = "TinyDpo simulator (limits of an NVIDIA T4)";
    public const int Major = 7;
    public const int Minor = 5;
    public const int MaxThreads = 1024;
    public const int MaxBlockX = 1024;
    public const int MaxBlockY = 1024;
    public const int MaxBlockZ = 64;
    public const int MaxGridX = int.MaxValue;
    public const int MaxGridY = 65535;
    public const int MaxGridZ = 65535;

    /// <summary>Bytes of shared memory of a block without asking.</summary>
    public const int SharedBytes = 48 * 1024;

    /// <summary>Bytes with cuFuncSetAttribute.</summary>
    public const int SharedBytesOptIn = 64 * 1024;

    public const int MaxParameterBytes = 4096;
    public const int ConstantBytes = 64 * 1024;
    public const int Warp = 32;
    public const int Registers = 64 * 1024;
    public const int Multiprocessors = 40;
    public const int ThreadsPerMultiprocessor = 1024;
    public const int ClockKilohertz = 1_590_000;
    public const int MemoryClockKilohertz = 5_001_000;
    public const int MemoryBusBits = 256;
    public const int CacheBytes = 4 * 1024 * 1024;

    /// <summary>CUDA 12.0, whose driver takes PTX up to 8.0.</summary>
    public const int DriverVersion = 12000;

    public const int PtxMajor = 8;
    public const int PtxMinor = 0;

    /// <summary>CUdevice_attribute; null for one that the simulator does not know.</summary>
    public static int? Attribute(int attribute) => attribute switch
    {
        1 => MaxThreads,
        2 => MaxBlockX,
        3 => MaxBlockY,
        4 => MaxBlockZ,
        5 => MaxGridX,
        6 => MaxGridY,
        7 => MaxGridZ,
        8 => SharedBytes,
        9 => ConstantBytes,
        10 => Warp,
        12 => Registers,
        13 => ClockKilohertz,
        16 => Multiprocessors,
        36 => MemoryClockKilohertz,
        37 => MemoryBusBits,
        38 => CacheBytes,
        39 => ThreadsPerMultiprocessor,
        41 => 1, // unified addressing
        75 => Major,
        76 => Minor,
        81 => SharedBytesOptIn, // of a multiprocessor
        97 => SharedBytesOptIn,
        _ => null,
    };
}
