using System.Diagnostics;
using System.Globalization;

namespace TinyDpo.Cli;

internal static class ProcessMemory
{
    /// <summary>The most memory that the process has held at a time: VmHWM on Linux, the peak working set elsewhere.</summary>
    public static long PeakBytes()
    {
        const string status = "/proc/self/status";
        if (File.Exists(status) && File.ReadLines(status).FirstOrDefault(static line => line.StartsWith("VmHWM:", StringComparison.Ordinal)) is { } line)
        {
            return long.Parse(line.Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries)[^2], CultureInfo.InvariantCulture) * 1024;
        }
        using var process = Process.GetCurrentProcess();
        return process.PeakWorkingSet64;
    }
}
