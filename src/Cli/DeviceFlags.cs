using System.CommandLine;
using TinyDpo.Kernels;
#if !DOUBLE
using TinyDpo.Simulator;
#endif

namespace TinyDpo.Cli;

/// <summary>The device to compute on: the options that every command which computes has.</summary>
internal sealed class DeviceFlags
{
    private const string Cpu = "cpu";
    private const string Cuda = "cuda";
    private const string Sim = "sim";

    private readonly Choice<string> _device = new(
        "--device", "The processor, an NVIDIA card, or one simulated in software, which checks much and is slow.", Cpu,
        (Cpu, Cpu), (Cuda, Cuda), (Sim, Sim));
    private readonly Option<int?> _threads = CommonOptions.Threads();
    private readonly Option<bool> _tf32 = new("--tf32")
    {
        Description = "With cuda or sim: matrix products round their inputs to TF32 (10 bits of mantissa).",
    };

    public DeviceFlags(Command command)
    {
        command.Add(_device.Option);
        command.Add(_threads);
        command.Add(_tf32);
    }

    /// <exception cref="UsageException">Options that the device ignores, or a device that this build does not have.</exception>
    /// <exception cref="CudaException">There is no card, no driver or no cuBLAS.</exception>
    public IBackend Open(ParseResult parsed)
    {
        var device = _device.Read(parsed);
        if (parsed.GetValue(_tf32) && device == Cpu)
        {
            throw new UsageException("--tf32 has no effect with --device cpu: leave it out");
        }
        if (parsed.GetValue(_threads) is not null && device == Cuda)
        {
            throw new UsageException("--threads has no effect with --device cuda: leave it out");
        }
        return device == Cpu ? new CpuBackend(Threads(parsed)) : OpenCuda(device, parsed);
    }

    /// <summary>
    /// The device's memory in bytes; the most floating-point operations a second that it can do, null where that is not measured; and what stands in
    /// for it where nothing is computed.
    /// </summary>
    /// <exception cref="CudaException">As <see cref="Open"/>.</exception>
    public (long MemoryBytes, double? PeakFlops, DryBackend StandIn) Limits(ParseResult parsed)
    {
        using var backend = Open(parsed);
        var standIn = new DryBackend(backend.Name, backend.BatchInvariant, backend.HasSlidingWindow, backend.CacheBlock, keepsPacked: backend is CpuBackend);
#if !DOUBLE
        if (_device.Read(parsed) == Cuda)
        {
            return (CudaProbe.Native().Cards[0].MemoryBytes, null, standIn);
        }
#endif
        return (GC.GetGCMemoryInfo().TotalAvailableMemoryBytes, backend is CpuBackend cpu ? cpu.MeasurePeak() : null, standIn);
    }

    /// <summary>Threads of this machine that compute; 1 where a card does.</summary>
    /// <exception cref="UsageException">The variable that stands in for --threads holds no number of threads.</exception>
    public int Threads(ParseResult parsed) =>
        _device.Read(parsed) == Cuda ? 1 : parsed.GetValue(_threads) ?? CommonOptions.DefaultThreads();

#if DOUBLE
    private static IBackend OpenCuda(string device, ParseResult parsed) =>
        throw new UsageException($"--device {device} computes in single precision, and this is a double build: leave it out");
#else
    private CudaBackend OpenCuda(string device, ParseResult parsed)
    {
        ICudaDriver driver = device == Sim
            ? new SimulatedCudaDriver(new SimulatorOptions { Threads = Threads(parsed) })
            : new NativeCudaDriver();
        return new CudaBackend(driver, new CudaOptions(Tf32: parsed.GetValue(_tf32)));
    }
#endif
}
