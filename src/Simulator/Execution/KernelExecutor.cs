namespace TinyDpo.Simulator;

/// <summary>A module of PTX, parsed once, and the machine that executes its kernels on <see cref="SimulatedMemory"/>.</summary>
internal sealed class KernelExecutor : IDisposable
{
    /// <param name="ptx">The text of the module.</param>
    /// <param name="memory">The device's memory.</param>
    /// <param name="options">Checks, counters, threads.</param>
    /// <exception cref="SimulationException">The PTX holds what the simulator does not know: names the line.</exception>
    public KernelExecutor(string ptx, SimulatedMemory memory, SimulatorOptions options) => throw new NotImplementedException();

    /// <summary>Size in bytes of a kernel's parameter block and offset of each parameter; null where there is no such kernel.</summary>
    public (int Bytes, int[] Offsets, int[] Sizes)? Parameters(string kernel) => throw new NotImplementedException();

    /// <summary>Bytes of static shared memory that a kernel declares.</summary>
    public int StaticSharedBytes(string kernel) => throw new NotImplementedException();

    /// <summary>Threads of a block at most, from .maxntid; 1024 where it is not given.</summary>
    public int MaxThreads(string kernel) => throw new NotImplementedException();

    /// <summary>Runs all blocks to their end. Returns what it cost, where counters are on.</summary>
    /// <exception cref="SimulationException">The kernel did what a check forbids.</exception>
    public LaunchCounters? Execute(LaunchRequest launch) => throw new NotImplementedException();

    public void Dispose() => throw new NotImplementedException();
}
