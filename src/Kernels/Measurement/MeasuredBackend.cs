using System.Diagnostics;

namespace TinyDpo.Kernels;

/// <summary>
/// Another backend, timed call by call. What a call needs (operations, bytes) is counted from its shapes. A call costs some tenths of a
/// microsecond more than without. On a device that works behind the host's back the times are of the calls, not of the work.
/// </summary>
/// <param name="inner">The backend that does the work; it belongs to the caller.</param>
public sealed partial class MeasuredBackend(IBackend inner) : IBackend
{
    private readonly Dictionary<(string Kernel, (int, int, int) Sizes), KernelCost> _costs = [];

    public string Name => inner.Name;

    public DeviceMemoryManager Memory => inner.Memory;

    public bool BatchInvariant => inner.BatchInvariant;

    public bool HasSlidingWindow => inner.HasSlidingWindow;

    public int CacheBlock => inner.CacheBlock;

    /// <summary>The kernels called since the last <see cref="Clear"/>, those that took longest first.</summary>
    public IReadOnlyList<KernelCost> Costs => [.. _costs.Values.OrderByDescending(static c => c.Seconds)];

    public void Clear() => _costs.Clear();

    public void Upload(ReadOnlySpan<Real> source, DeviceBuffer destination)
    {
        using var call = Measure("Upload", default, 0, Moved(2L * source.Length));
        inner.Upload(source, destination);
    }

    public void Upload(ReadOnlySpan<int> source, IndexBuffer destination)
    {
        using var call = Measure("Upload", default, 0, 2.0 * sizeof(int) * source.Length);
        inner.Upload(source, destination);
    }

    public void Download(DeviceBuffer source, Span<Real> destination)
    {
        using var call = Measure("Download", default, 0, Moved(2L * source.Length));
        inner.Download(source, destination);
    }

    public void Download(IndexBuffer source, Span<int> destination)
    {
        using var call = Measure("Download", default, 0, 2.0 * sizeof(int) * source.Length);
        inner.Download(source, destination);
    }

    public void Copy(DeviceBuffer source, DeviceBuffer destination)
    {
        using var call = Measure("Copy", default, 0, Moved(2L * source.Length));
        inner.Copy(source, destination);
    }

    public void Fill(DeviceBuffer destination, Real value)
    {
        using var call = Measure("Fill", default, 0, Moved(destination.Length));
        inner.Fill(destination, value);
    }

    public void Synchronise() => inner.Synchronise();

    public void Dispose()
    {
    }

    private static double Moved(double elements) => elements * sizeof(Real);

    /// <summary>Times what happens until the result is disposed. Sizes of 0 are not shown.</summary>
    private Call Measure(string kernel, (int, int, int) sizes, double flops, double bytes)
    {
        if (!_costs.TryGetValue((kernel, sizes), out var cost))
        {
            int[] shown = [.. new[] { sizes.Item1, sizes.Item2, sizes.Item3 }.Where(static size => size != 0)];
            cost = new KernelCost(kernel, string.Join(" x ", shown));
            _costs.Add((kernel, sizes), cost);
        }
        cost.Calls++;
        cost.Flops += flops;
        cost.Bytes += bytes;
        return new Call(cost, Stopwatch.GetTimestamp());
    }

    private readonly struct Call(KernelCost cost, long start) : IDisposable
    {
        public void Dispose() => cost.Seconds += Stopwatch.GetElapsedTime(start).TotalSeconds;
    }
}
