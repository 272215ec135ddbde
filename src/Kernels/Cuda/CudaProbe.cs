using System.Runtime.InteropServices;

namespace TinyDpo.Kernels;

/// <summary>One card, as its driver describes it.</summary>
/// <param name="Ordinal">Its number, from 0.</param>
/// <param name="Name">Such as "NVIDIA A100-SXM4-40GB".</param>
/// <param name="ComputeCapability">Such as "8.0".</param>
/// <param name="MemoryBytes">Its memory.</param>
/// <param name="Multiprocessors">How many.</param>
public sealed record CudaCard(int Ordinal, string Name, string ComputeCapability, long MemoryBytes, int Multiprocessors);

/// <summary>What of CUDA this machine has, and why the rest is absent.</summary>
/// <param name="Reason">Why there is nothing to compute on, in one line with the remedy; null where there is.</param>
/// <param name="DriverVersion">The newest CUDA that the driver serves, such as "12.4"; null without a driver.</param>
/// <param name="Cards">The cards that the driver knows.</param>
public sealed record CudaReport(string? Reason, string? DriverVersion, IReadOnlyList<CudaCard> Cards);

/// <summary>One of NVIDIA's libraries: the names under which it was looked for, and the one that was found.</summary>
/// <param name="Library">Its name.</param>
/// <param name="LookedFor">File names, in order.</param>
/// <param name="Found">The one that was opened; null for none.</param>
public sealed record CudaLibraryReport(string Library, IReadOnlyList<string> LookedFor, string? Found);

/// <summary>Looks what a machine has of CUDA, without throwing for what it has not.</summary>
public static unsafe class CudaProbe
{
    private const int MultiprocessorCount = 16;
    private const int CapabilityMajor = 75;
    private const int CapabilityMinor = 76;
    private const int LeastMajor = 7;

    /// <summary>The files that --device cuda needs.</summary>
    public static IReadOnlyList<CudaLibraryReport> Libraries() =>
        [Report("CUDA driver", NativeLibraries.Cuda), Report("cuBLAS", NativeLibraries.Cublas)];

    /// <summary>This machine, through NVIDIA's libraries.</summary>
    public static CudaReport Native()
    {
        if (NativeLibraries.Cuda.Problem is { } noDriver)
        {
            return new CudaReport(noDriver, null, []);
        }
        using var driver = new NativeCudaDriver();
        var report = Of(driver);
        return report.Reason is null && NativeLibraries.Cublas.Problem is { } noCublas ? report with { Reason = noCublas } : report;
    }

    /// <summary>What a driver serves.</summary>
    public static CudaReport Of(ICudaDriver driver)
    {
        string? version = null;
        var cards = new List<CudaCard>();
        try
        {
            Check(driver.cuDriverGetVersion(out var number), nameof(driver.cuDriverGetVersion));
            version = $"{number / 1000}.{number % 1000 / 10}";
            Check(driver.cuInit(0), nameof(driver.cuInit));
            Check(driver.cuDeviceGetCount(out var count), nameof(driver.cuDeviceGetCount));
            for (var ordinal = 0; ordinal < count; ordinal++)
            {
                cards.Add(Card(driver, ordinal));
            }
        }
        catch (CudaException e)
        {
            return new CudaReport(e.Message, version, cards);
        }
        var reason = cards.Count == 0 ? "the CUDA driver knows no card; use --device cpu or sim"
            : cards.All(static card => int.Parse(card.ComputeCapability.Split('.')[0]) < LeastMajor)
                ? $"no card has compute capability {LeastMajor}.0, which the kernels need; use --device cpu or sim"
                : null;
        return new CudaReport(reason, version, cards);

        void Check(int result, string call) => CudaBackend.Check(driver, result, call);
    }

    private static CudaCard Card(ICudaDriver driver, int ordinal)
    {
        CudaBackend.Check(driver, driver.cuDeviceGet(out var device, ordinal), nameof(driver.cuDeviceGet));
        var name = stackalloc byte[256];
        CudaBackend.Check(driver, driver.cuDeviceGetName(name, 256, device), nameof(driver.cuDeviceGetName));
        CudaBackend.Check(driver, driver.cuDeviceTotalMem(out var bytes, device), nameof(driver.cuDeviceTotalMem));
        return new CudaCard(
            ordinal, Marshal.PtrToStringUTF8((nint)name)!, $"{Attribute(CapabilityMajor)}.{Attribute(CapabilityMinor)}", (long)bytes,
            Attribute(MultiprocessorCount));

        int Attribute(int attribute)
        {
            CudaBackend.Check(driver, driver.cuDeviceGetAttribute(out var value, attribute, device), nameof(driver.cuDeviceGetAttribute));
            return value;
        }
    }

    private static CudaLibraryReport Report(string title, NativeLibraryFile file) => new(title, file.LookedFor, file.Path);
}
