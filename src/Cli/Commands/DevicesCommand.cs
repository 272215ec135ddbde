using System.CommandLine;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using TinyDpo.Kernels;

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
            JsonLine.Write(new { device = "cuda", available = false, reason = "not built yet: this version computes on the CPU only" });
            JsonLine.Write(new { device = "sim", available = false, reason = "not built yet: this version computes on the CPU only" });
            return CommandLine.Success;
        });
        return command;
    }
}
