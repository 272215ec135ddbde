using System.Buffers.Binary;
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
    public SimulationCost Cost => new(Counters, Products, new Dictionary<string, TimeSpan>(_times));

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
        var (grid, block) = (Shape(gridX, gridY, gridZ), Shape(blockX, blockY, blockZ));
        if (WhyNot(kernel, grid, block, sharedBytes) is { } why)
        {
            return Because(CudaResult.InvalidValue, why);
        }
        if (extra != null || bytes > SimulatedDevice.MaxParameterBytes || (offsets.Length > 0 && parameters == null))
        {
            return Because(CudaResult.InvalidValue, $"parameters are taken one by one, {SimulatedDevice.MaxParameterBytes} bytes at most");
        }
        if (block.Count > executor.MaxThreads(kernel.Name))
        {
            return Because(CudaResult.LaunchOutOfResources, $"{block.Count} threads a block, where .maxntid allows {executor.MaxThreads(kernel.Name)}");
        }
        var values = new byte[bytes];
        for (var i = 0; i < offsets.Length; i++)
        {
            if (parameters[i] == null)
            {
                return Because(CudaResult.InvalidValue, $"parameter {i} is null");
            }
            new ReadOnlySpan<byte>(parameters[i], sizes[i]).CopyTo(values.AsSpan(offsets[i]));
        }
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

    // What no int holds is beyond every limit.
    private static Dim3 Shape(uint x, uint y, uint z) => new(Clamp(x), Clamp(y), Clamp(z));

    private static int Clamp(uint value) => (int)Math.Min(value, int.MaxValue);

    private static string? WhyNot(SimulatedFunction kernel, Dim3 grid, Dim3 block, uint sharedBytes)
    {
        if (grid.X < 1 || grid.Y is < 1 or > SimulatedDevice.MaxGridY || grid.Z is < 1 or > SimulatedDevice.MaxGridZ)
        {
            return $"a grid of {grid.X} x {grid.Y} x {grid.Z} blocks, where 1 to "
                + $"{SimulatedDevice.MaxGridX} x {SimulatedDevice.MaxGridY} x {SimulatedDevice.MaxGridZ} are allowed";
        }
        if (block.X is < 1 or > SimulatedDevice.MaxBlockX || block.Y is < 1 or > SimulatedDevice.MaxBlockY
            || block.Z is < 1 or > SimulatedDevice.MaxBlockZ || block.Count > SimulatedDevice.MaxThreads)
        {
            return $"a block of {block.X} x {block.Y} x {block.Z} threads, where 1 to {SimulatedDevice.MaxThreads} are allowed, "
                + $"{SimulatedDevice.MaxBlockZ} at most in z";
        }
        return sharedBytes <= kernel.MaxDynamicSharedBytes ? null
            : $"{sharedBytes} bytes of dynamic shared memory beside {kernel.Module.Executor.StaticSharedBytes(kernel.Name)} of static, where "
                + $"{kernel.MaxDynamicSharedBytes} are allowed: cuFuncSetAttribute raises that, up to {SimulatedDevice.SharedBytesOptIn} together";
    }

    private void Execute(KernelExecutor executor, LaunchRequest launch)
    {
        // The processor's time, not the clock's: others may use the machine, and a small launch one core of several.
        var before = Environment.CpuUsage.TotalTime;
        var cost = executor.Execute(launch);
        _times[launch.Kernel] = _times.GetValueOrDefault(launch.Kernel) + Environment.CpuUsage.TotalTime - before;
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
