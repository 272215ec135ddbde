using TinyDpo.Kernels;
using TinyDpo.Simulator;

namespace TinyDpo.Tests;

/// <summary>Which driver a test of the CUDA backend runs on.</summary>
public enum CudaDevice
{
    /// <summary>The GPU in software, with every check on.</summary>
    Simulated,

    /// <summary>A card of this machine; tests are skipped, with a message, where there is none.</summary>
    Card,
}

internal static class CudaDevices
{
    public static CudaBackend Open(CudaDevice device, SimulatorOptions? options = null)
    {
        if (device == CudaDevice.Simulated)
        {
            return new CudaBackend(new SimulatedCudaDriver(options ?? new SimulatorOptions()));
        }
        if (CudaProbe.Native().Reason is { } reason)
        {
            Assert.Ignore($"needs an NVIDIA card: {reason}");
        }
        // Where there is a card, what it refuses is a failure.
        return new CudaBackend(new NativeCudaDriver());
    }
}
