using System.Globalization;
using System.Text.RegularExpressions;

namespace TinyDpo.Simulator;

/// <summary>A module that is loaded.</summary>
internal sealed partial class SimulatedModule(KernelExecutor executor)
{
    public KernelExecutor Executor => executor;

    /// <summary>Handles of the kernels that were asked for.</summary>
    public Dictionary<string, nint> Functions { get; } = [];

    /// <summary>Why a driver refuses a PTX text by its head, as a CUresult and in words; 0 if driver and card take it.</summary>
    public static int RefusalOfHead(string ptx, out string why)
    {
        why = "";
        var (version, target) = (Version().Match(ptx), Target().Match(ptx));
        if (!version.Success || !target.Success)
        {
            why = ".version or .target is missing";
            return CudaResult.InvalidPtx;
        }
        var (major, minor, card) = (Number(version, 1), Number(version, 2), (SimulatedDevice.Major * 10) + SimulatedDevice.Minor);
        if (major > SimulatedDevice.PtxMajor || (major == SimulatedDevice.PtxMajor && minor > SimulatedDevice.PtxMinor))
        {
            why = $"PTX {major}.{minor} is newer than {SimulatedDevice.PtxMajor}.{SimulatedDevice.PtxMinor}, which the simulated driver takes";
            return CudaResult.UnsupportedPtxVersion;
        }
        if (Number(target, 1) > card)
        {
            why = $"the text is for sm_{Number(target, 1)}, the simulated card is sm_{card}";
            return CudaResult.NoBinaryForGpu;
        }
        return CudaResult.Success;
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
