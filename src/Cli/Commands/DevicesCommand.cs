using System.CommandLine;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using TinyDpo.Kernels;
#if !DOUBLE
using TinyDpo.Simulator;
#endif

namespace TinyDpo.Cli;

/// <summary>tinydpo devices: what this machine offers, and why the rest is absent.</summary>
internal static class DevicesCommand
{
    public static Command Create()
    {
        var command = new Command("devices", "What this machine offers to compute on, and why the rest is absent.");
        command.SetAction(_ =>
        {
            JsonLine.Write(new
            {
                device = "cpu",
                available = true,
                threads = CpuBackend.DefaultThreads(),
                precision = typeof(Real).Name.ToLowerInvariant(),
                vectors = Vector512.IsHardwareAccelerated ? 512 : Vector256.IsHardwareAccelerated ? 256 : 128,
                architecture = RuntimeInformation.ProcessArchitecture.ToString(),
            });
            WriteCuda();
            WriteSimulator();
            return CommandLine.Success;
        });
        return command;
    }

#if DOUBLE
    private const string SingleOnly = "computes in single precision only, and this is a double build";

    private static void WriteCuda() => JsonLine.Write(new { device = "cuda", available = false, reason = SingleOnly });

    private static void WriteSimulator() => JsonLine.Write(new { device = "sim", available = false, reason = SingleOnly });
#else
    private static void WriteCuda()
    {
        var report = CudaProbe.Native();
        JsonLine.Write(new
        {
            device = "cuda",
            available = report.Reason is null,
            reason = report.Reason,
            driver = report.DriverVersion,
            cards = Cards(report),
            libraries = CudaProbe.Libraries().Select(static library => new
            {
                library = library.Library,
                looked_for = library.LookedFor,
                found = library.Found,
            }),
        });
    }

    private static void WriteSimulator()
    {
        using var driver = new SimulatedCudaDriver();
        var report = CudaProbe.Of(driver);
        JsonLine.Write(new
        {
            device = "sim",
            available = report.Reason is null,
            note = "a GPU in software, slower than cpu: it runs cuda's kernels, checks them and counts what they cost",
            driver = report.DriverVersion,
            cards = Cards(report),
        });
    }

    private static object Cards(CudaReport report) => report.Cards.Select(static card => new
    {
        ordinal = card.Ordinal,
        name = card.Name,
        compute_capability = card.ComputeCapability,
        memory_bytes = card.MemoryBytes,
        multiprocessors = card.Multiprocessors,
    });
#endif
}
