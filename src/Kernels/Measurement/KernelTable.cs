using System.Diagnostics;

namespace TinyDpo.Kernels;

/// <summary>A kernel's time beside the machine's limit in the same minute.</summary>
/// <param name="Seconds">Of a call: the median.</param>
/// <param name="Limit">Operations or bytes a second that the machine can do, measured before and after; the better.</param>
/// <param name="Error">Against double, after the timing: see <see cref="KernelCase.Error"/>.</param>
/// <param name="Rival">The same of <see cref="OpenBlas"/>, whose calls were timed by turns with ours; null where it has no such kernel.</param>
public sealed record KernelTiming(KernelSpec Spec, bool Streams, double Work, double Seconds, double Limit, double Error, (double Seconds, double Error)? Rival)
{
    /// <summary>How many times as fast as the rival.</summary>
    public double? OverRival => Rival?.Seconds / Seconds;

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

    /// <summary>Longer than OpenBLAS's threads go on spinning after a product.</summary>
    private const double SecondsToCalm = 0.04;

    private const int Turns = 3;

    public static IEnumerable<KernelTiming> Run(CpuBackend backend, IEnumerable<KernelSpec> specs)
    {
        foreach (var spec in specs)
        {
            using var scope = new MemoryScope(backend);
            using var made = spec.Create(backend);
            using var rival = OpenBlas.IsPresent && spec is ProductSpec product ? Rival(product, backend) : null;
            var (ours, theirs) = (new List<double>(), new List<double>());
            var limit = made.MeasureLimit();
            for (var turn = 0; turn < Turns; turn++)
            {
                Time(made, ours, calm: rival is null ? 0 : SecondsToCalm);
                if (rival is not null)
                {
                    Time(rival, theirs, calm: 0);
                }
            }
            limit = Math.Max(limit, made.MeasureLimit());
            yield return new KernelTiming(
                spec, made.Streams, made.Work, Median(ours), limit, made.Error(), rival is null ? null : (Median(theirs), rival.Error()));
        }
    }

    private static KernelCase Rival(ProductSpec product, CpuBackend backend)
    {
        var rival = product.Create(backend);
        OpenBlas.Serve(rival, product, backend.Threads);
        return rival;
    }

    /// <summary>Adds the seconds of some calls, after two that do not count, or as many as fill the time for calm.</summary>
    private static void Time(KernelCase made, List<double> seconds, double calm)
    {
        var start = Stopwatch.GetTimestamp();
        for (var call = 0; call < 2 || Stopwatch.GetElapsedTime(start).TotalSeconds < calm; call++)
        {
            made.Run();
        }
        start = Stopwatch.GetTimestamp();
        for (var call = 0; call < LeastCalls || Stopwatch.GetElapsedTime(start).TotalSeconds < SecondsEach / Turns; call++)
        {
            var before = Stopwatch.GetTimestamp();
            made.Run();
            seconds.Add(Stopwatch.GetElapsedTime(before).TotalSeconds);
        }
    }

    private static double Median(List<double> seconds)
    {
        seconds.Sort();
        return seconds[seconds.Count / 2];
    }
}
