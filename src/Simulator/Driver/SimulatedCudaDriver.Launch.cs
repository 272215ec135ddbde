using System.Buffers.Binary;
using System.Diagnostics;
using TinyDpo.Kernels;

namespace TinyDpo.Simulator;

// Launches, their limits and what they cost.
public sealed unsafe partial class SimulatedCudaDriver
{
    private readonly Dictionary<string, LaunchCounters> _counters = [];
    private readonly Dictionary<string, TimeSpan> _times = [];
    private PointerExtent[]? _announced;

    /// <summary>What each kernel has cost so far; empty unless the options ask for counters.</summary>
    public IReadOnlyList<LaunchCounters> Counters => [.. _counters.Values];

    /// <summary>All that was counted and timed so far; products and times without counters too.</summary>
    public SimulationCost Cost => new(Counters, Products, new Dictionary<string, TimeSpan>(_times), _team.Threads);

    /// <summary>Forgets what was counted: to leave out a warm-up. Work that is still queued counts when it runs.</summary>
    public void ResetCounters()
    {
        _counters.Clear();
        _products.Clear();
        _times.Clear();
    }

    public void BeforeLaunch(ReadOnlySpan<PointerExtent> extents) => _announced = extents.ToArray();

    /// <summary>Takes parameters one by one; the packed form (extra) is not used by the engine, and refused.</summary>
    public int cuLaunchKernel(
        nint function, uint gridX, uint gridY, uint gridZ, uint blockX, uint blockY, uint blockZ, uint sharedBytes, nint stream, void** parameters,
        void** extra)
    {
        var extents = _announced;
        _announced = null;
        if (RefusalOfStream(stream, nameof(cuLaunchKernel), out var queue) is var code and not 0)
        {
            return code;
        }
        if (Find<SimulatedFunction>(function, nameof(cuLaunchKernel)) is not { } kernel)
        {
            return CudaResult.InvalidHandle;
        }
        var executor = kernel.Module.Executor;
        var (bytes, offsets, sizes) = executor.Parameters(kernel.Name)!.Value;
        if (!IsGrid(gridX, gridY, gridZ) || !IsBlock(blockX, blockY, blockZ) || extra != null || sharedBytes > kernel.MaxDynamicSharedBytes
            || bytes > SimulatedDevice.MaxParameterBytes || (offsets.Length > 0 && parameters == null))
        {
            return CudaResult.InvalidValue;
        }
        var block = new Dim3((int)blockX, (int)blockY, (int)blockZ);
        if (block.Count > executor.MaxThreads(kernel.Name))
        {
            return CudaResult.LaunchOutOfResources;
        }
        var values = new byte[bytes];
        for (var i = 0; i < offsets.Length; i++)
        {
            if (parameters[i] == null)
            {
                return CudaResult.InvalidValue;
            }
            new ReadOnlySpan<byte>(parameters[i], sizes[i]).CopyTo(values.AsSpan(offsets[i]));
        }
        var grid = new Dim3((int)gridX, (int)gridY, (int)gridZ);
        var launch = new LaunchRequest(kernel.Name, grid, block, (int)sharedBytes, values, extents);
        Enqueue(queue, new StreamWork($"{Numbered(nameof(cuLaunchKernel))} of kernel {kernel.Name}", () => Execute(executor, launch))
        {
            Module = kernel.Module,
            Device = extents is null
                ? Pointees(values, offsets, sizes)
                : [.. extents.Select(static e => new MemoryRange(e.Address, e.Bytes, e.Access.HasFlag(Access.Write)))],
        });
        return CudaResult.Success;
    }

    private static bool IsGrid(uint x, uint y, uint z) =>
        x is > 0 and <= SimulatedDevice.MaxGridX && y is > 0 and <= SimulatedDevice.MaxGridY && z is > 0 and <= SimulatedDevice.MaxGridZ;

    private static bool IsBlock(uint x, uint y, uint z) =>
        x is > 0 and <= SimulatedDevice.MaxBlockX && y is > 0 and <= SimulatedDevice.MaxBlockY && z is > 0 and <= SimulatedDevice.MaxBlockZ
        && x * y * z <= SimulatedDevice.MaxThreads;

    private void Execute(KernelExecutor executor, LaunchRequest launch)
    {
        var start = Stopwatch.GetTimestamp();
        var cost = executor.Execute(launch);
        _times[launch.Kernel] = _times.GetValueOrDefault(launch.Kernel) + Stopwatch.GetElapsedTime(start);
        if (cost is null)
        {
            return;
        }
        if (!_counters.TryGetValue(launch.Kernel, out var total))
        {
            _counters.Add(launch.Kernel, total = new LaunchCounters { Kernel = launch.Kernel });
        }
        total.Add(cost);
    }

    /// <summary>Whatever could be a pointer, where the launcher has announced none: then the allocation behind it is in use.</summary>
    private static MemoryRange[] Pointees(byte[] values, int[] offsets, int[] sizes) =>
        [.. offsets.Where((_, i) => sizes[i] == sizeof(ulong))
            .Select(offset => new MemoryRange((nint)BinaryPrimitives.ReadInt64LittleEndian(values.AsSpan(offset)), 1, Write: true))];
}
