namespace TinyDpo.Simulator;

/// <summary>
/// A module of PTX, parsed once, and the machine that executes its kernels on <see cref="SimulatedMemory"/>. A kernel is decoded when it is
/// first asked for; any thread may ask.
/// </summary>
internal sealed class KernelExecutor : IDisposable
{
    // A launch of fewer warps is not worth waking threads for.
    private const int WarpsWorthThreads = 64;

    private readonly Dictionary<string, Lazy<KernelCode>> _kernels;
    private readonly SimulatedMemory _memory;
    private readonly SimulatorOptions _options;
    private readonly BlockRunner[] _runners;

    /// <param name="ptx">The text of the module.</param>
    /// <param name="memory">The device's memory.</param>
    /// <param name="options">Checks, counters, threads.</param>
    /// <exception cref="SimulationException">The text is not PTX: names the line.</exception>
    public KernelExecutor(string ptx, SimulatedMemory memory, SimulatorOptions options)
    {
        (_memory, _options) = (memory, options);
        _kernels = PtxParser.Parse(ptx).Kernels.Values.ToDictionary(static k => k.Name, static k => new Lazy<KernelCode>(() => Decoder.Decode(k)));
        var atomicLock = new object();
        _runners = [.. Enumerable.Range(0, Math.Max(1, options.Threads ?? Environment.ProcessorCount)).Select(_ => new BlockRunner(options, memory, atomicLock))];
    }

    /// <summary>Size in bytes of a kernel's parameter block and offset of each parameter; null where there is no such kernel.</summary>
    /// <exception cref="SimulationException">The kernel holds what the simulator does not know: names the line.</exception>
    public (int Bytes, int[] Offsets, int[] Sizes)? Parameters(string kernel) => _kernels.TryGetValue(kernel, out var code)
        ? (code.Value.ParameterBytes, [.. code.Value.Parameters.Select(static p => p.Offset)], [.. code.Value.Parameters.Select(static p => p.Bytes)])
        : null;

    /// <summary>Bytes of static shared memory that a kernel declares.</summary>
    public int StaticSharedBytes(string kernel) => _kernels[kernel].Value.Shared.DeclaredBytes;

    /// <summary>Threads of a block at most, from .maxntid; 1024 where it is not given.</summary>
    public int MaxThreads(string kernel) => _kernels[kernel].Value.MaxThreads;

    /// <summary>Runs all blocks to their end. Returns what it cost, where counters are on.</summary>
    /// <exception cref="SimulationException">The kernel did what a check forbids.</exception>
    public LaunchCounters? Execute(LaunchRequest launch)
    {
        var code = _kernels[launch.Kernel].Value;
        var blocks = launch.Grid.Count;
        var warps = (launch.Block.Count + Lanes.Count - 1) / Lanes.Count * blocks;
        var threads = warps < WarpsWorthThreads ? 1 : (int)Math.Min(_runners.Length, blocks);
        var windows = _options.Checks ? new LaunchWindows(launch, _memory) : null;
        if (threads == 1)
        {
            _runners[0].Begin(code, launch, windows);
            for (var block = 0L; block < blocks; block++)
            {
                _runners[0].Run(block);
            }
        }
        else
        {
            ExecuteOn(threads, code, launch, windows);
        }
        return _options.Counters ? Collect(threads, launch) : null;
    }

    public void Dispose()
    {
        foreach (var runner in _runners)
        {
            runner.Dispose();
        }
    }

    private LaunchCounters Collect(int threads, LaunchRequest launch)
    {
        var counters = new LaunchCounters { Kernel = launch.Kernel, Launches = 1, Blocks = launch.Grid.Count };
        foreach (var runner in _runners.AsSpan(0, threads))
        {
            runner.Collect(counters);
        }
        foreach (var extent in launch.Extents ?? [])
        {
            counters.NeededReadBytes += extent.NeededRead;
            counters.NeededWrittenBytes += extent.NeededWritten;
        }
        return counters;
    }

    // Runs of neighbouring blocks, so that a race between blocks is mostly met on one thread. Of several faults the first block's is told.
    private void ExecuteOn(int threads, KernelCode code, LaunchRequest launch, LaunchWindows? windows)
    {
        var blocks = launch.Grid.Count;
        var run = Math.Max(1, blocks / (threads * 8));
        var next = 0L;
        var (faultBlock, fault) = (long.MaxValue, (SimulationException?)null);
        var faultLock = new object();
        Parallel.For(0, threads, new ParallelOptions { MaxDegreeOfParallelism = threads }, t =>
        {
            var runner = _runners[t];
            runner.Begin(code, launch, windows);
            while (true)
            {
                var end = Interlocked.Add(ref next, run);
                for (var block = end - run; block < Math.Min(end, blocks); block++)
                {
                    if (block > Interlocked.Read(ref faultBlock))
                    {
                        return;
                    }
                    try
                    {
                        runner.Run(block);
                    }
                    catch (SimulationException e)
                    {
                        lock (faultLock)
                        {
                            if (block < faultBlock)
                            {
                                (faultBlock, fault) = (block, e);
                            }
                        }
                        return;
                    }
                }
                if (end >= blocks)
                {
                    return;
                }
            }
        });
        if (fault is not null)
        {
            throw fault;
        }
    }
}
