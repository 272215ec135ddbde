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
            Console.WriteLine($"| kernel | shape | us | GFLOP/s or GB/s | of the limit | error |{(OpenBlas.IsPresent ? " times OpenBLAS | its error |" : "")}");
            Console.WriteLine($"|---|---|--:|--:|--:|--:|{(OpenBlas.IsPresent ? "--:|--:|" : "")}");
        }
        var believable = true;
        var overRival = new List<double>();
        foreach (var t in timings)
        {
            believable &= t.OfLimit <= KernelTable.MostOfLimit;
            if (t.OverRival is { } times)
            {
                overRival.Add(times);
            }
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
                    openblas_us = t.Rival?.Seconds * 1e6,
                    openblas_error = t.Rival?.Error,
                });
                continue;
            }
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"| {t.Spec.Kernel} | {t.Spec.Shape} | {t.Seconds * 1e6:0.0} | {t.Rate / 1e9:0.0} {(t.Streams ? "GB/s" : "GFLOP/s")} | {t.OfLimit:0%} | {t.Error:0.0e+0} |{Rival(t)}"));
        }
        if (overRival.Count > 0)
        {
            Console.Error.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"Against {OpenBlas.Description}: geometric mean {Math.Exp(overRival.Average(Math.Log)):0.00} times as fast, at least {overRival.Min():0.00}."));
        }
        if (!believable)
        {
            Console.Error.WriteLine($"tinydpo: a kernel beat its limit by more than {KernelTable.MostOfLimit - 1:0%}: measure again on a quiet machine");
        }
        return believable;
    }

    private static string Rival(KernelTiming t) => !OpenBlas.IsPresent ? ""
        : t.OverRival is { } times ? string.Create(CultureInfo.InvariantCulture, $" {times:0.00} | {t.Rival!.Value.Error:0.0e+0} |") : " | |";
}
