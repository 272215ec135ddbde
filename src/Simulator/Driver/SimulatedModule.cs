using System.Globalization;
using System.Text.RegularExpressions;

namespace TinyDpo.Simulator;

/// <summary>A module that is loaded.</summary>
internal sealed partial class SimulatedModule(KernelExecutor executor)
{
    public KernelExecutor Executor => executor;

    /// <summary>Handles of the kernels that were asked for.</summary>
    public Dictionary<string, nint> Functions { get; } = [];

    /// <summary>What the head of a PTX text asks of driver and card, as a CUresult; 0 if both can.</summary>
    public static int RequireHead(string ptx)
    {
        var (version, target) = (Version().Match(ptx), Target().Match(ptx));
        if (!version.Success || !target.Success)
        {
            return CudaResult.InvalidPtx;
        }
        var (major, minor) = (Number(version, 1), Number(version, 2));
        if (major > SimulatedDevice.PtxMajor || (major == SimulatedDevice.PtxMajor && minor > SimulatedDevice.PtxMinor))
        {
            return CudaResult.UnsupportedPtxVersion;
        }
        return Number(target, 1) > (SimulatedDevice.Major * 10) + SimulatedDevice.Minor ? CudaResult.NoBinaryForGpu : CudaResult.Success;
    }

    private static int Number(Match match, int group) => int.Parse(match.Groups[group].Value, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^\s*\.version\s+(\d+)\.(\d+)", RegexOptions.Multiline)]
    private static partial Regex Version();

    [GeneratedRegex(@"^\s*\.target\s+sm_(\d+)", RegexOptions.Multiline)]
    private static partial Regex Target();
}

/// <summary>A kernel that was asked for by name.</summary>
internal sealed class SimulatedFunction(SimulatedModule module, string name)
{
    public SimulatedModule Module => module;

    public string Name => name;

    /// <summary>Bytes of dynamic shared memory that a launch may ask for.</summary>
    public int MaxDynamicSharedBytes { get; set; } = SimulatedDevice.SharedBytes - module.Executor.StaticSharedBytes(name);
}
