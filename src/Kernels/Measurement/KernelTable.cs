using System.Diagnostics;

namespace TinyDpo.Kernels;

/// <summary>A kernel's time beside the machine's limit in the same minute.</summary>
/// <param name="Seconds">Of a call: the median.</param>
/// <param name="Limit">Operations or bytes a second that the machine can do, measured before and after; the better.</param>
/// <param name="Error">Against double, after the timing: see <see cref="KernelCase.Error"/>.</param>
public sealed record KernelTiming(KernelSpec Spec, bool Streams, double Work, double Seconds, double Limit, double Error)
{
    public double Rate => Work / Seconds;

    public double OfLimit => Rate / Limit;
}

/// <summary>Times kernels, each between two measurements of the limit.</summary>
public static class KernelTable
{
    /// <summary>More than that of a limit is a measurement gone wrong, not a fast kernel.</summary>
    public const double MostOfLimit = 1.02;

    private const double SecondsEach = 0.15;
    private const int LeastCalls = 5;

    public static IEnumerable<KernelTiming> Run(CpuBackend backend, IEnumerable<KernelSpec> specs)
    {
        foreach (var spec in specs)
        {
            using var scope = new MemoryScope(backend);
            using var made = spec.Create(backend);
            made.Run();
            made.Run();
            var limit = made.MeasureLimit();
            var times = new List<double>();
            for (var start = Stopwatch.GetTimestamp(); times.Count < LeastCalls || Stopwatch.GetElapsedTime(start).TotalSeconds < SecondsEach;)
            {
                var call = Stopwatch.GetTimestamp();
                made.Run();
                times.Add(Stopwatch.GetElapsedTime(call).TotalSeconds);
            }
            times.Sort();
            limit = Math.Max(limit, made.MeasureLimit());
            yield return new KernelTiming(spec, made.Streams, made.Work, times[times.Count / 2], limit, made.Error());
        }
    }
}
