using System.Globalization;
using TinyDpo.Kernels;

namespace TinyDpo.Cli;

/// <summary>What bench kernels shows, a line a kernel as it comes.</summary>
internal static class KernelRows
{
    /// <summary>False where a kernel beat its limit, which no kernel can: the figures of this run are then worth nothing.</summary>
    public static bool Print(IEnumerable<KernelTiming> timings, bool json)
    {
        if (!json)
        {
            Console.WriteLine("| kernel | shape | us | GFLOP/s or GB/s | of the limit | error |");
            Console.WriteLine("|---|---|--:|--:|--:|--:|");
        }
        var believable = true;
        foreach (var t in timings)
        {
            believable &= t.OfLimit <= KernelTable.MostOfLimit;
            if (json)
            {
                JsonLine.Write(new
                {
                    kernel = t.Spec.Kernel,
                    shape = t.Spec.Shape,
                    us = t.Seconds * 1e6,
                    unit = t.Streams ? "byte/s" : "flop/s",
                    rate = t.Rate,
                    limit = t.Limit,
                    of_limit = t.OfLimit,
                    error = t.Error,
                });
                continue;
            }
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"| {t.Spec.Kernel} | {t.Spec.Shape} | {t.Seconds * 1e6:0.0} | {t.Rate / 1e9:0.0} {(t.Streams ? "GB/s" : "GFLOP/s")} | {t.OfLimit:0%} | {t.Error:0.0e+0} |"));
        }
        if (!believable)
        {
            Console.Error.WriteLine($"tinydpo: a kernel beat its limit by more than {KernelTable.MostOfLimit - 1:0%}: measure again on a quiet machine");
        }
        return believable;
    }
}
