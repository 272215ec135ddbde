namespace TinyDpo.Kernels;

/// <summary>
/// A kernel at one shape with inputs of its own, ready to be timed: what it needs is counted, and its result can be compared with a
/// computation in double, before or after.
/// </summary>
public sealed class KernelCase : IDisposable
{
    // A kernel that streams is given other buffers at each call, in all more than the caches hold: else it is their speed that shows.
    private const long StreamedBytes = 192L * 1024 * 1024;

    private readonly CpuBackend _backend;
    private readonly MemoryScope _scope;
    private readonly DeviceBuffer[][] _sets;
    private readonly Real[][] _contents;
    private readonly Func<double[][], IEnumerable<(int Index, double Value)>> _expected;
    private readonly int _result;
    private Action<IBackend, DeviceBuffer[]> _call;
    private int _next;

    /// <param name="backend">Where it runs.</param>
    /// <param name="streams">Whether memory is its limit and not arithmetic.</param>
    /// <param name="lengths">Elements of its buffers, the inputs first.</param>
    /// <param name="result">The buffer that is compared.</param>
    /// <param name="call">Calls the kernel with the buffers.</param>
    /// <param name="expected">What some or all elements of the result are, from the buffers' contents before the call.</param>
    /// <param name="fill">The contents of buffer b at place i; null for numbers in [-1, 1).</param>
    public KernelCase(
        CpuBackend backend, bool streams, int[] lengths, int result, Action<IBackend, DeviceBuffer[]> call,
        Func<double[][], IEnumerable<(int Index, double Value)>> expected, Func<int, int, double>? fill = null)
    {
        (_backend, _call, _expected, _result, Streams) = (backend, call, expected, result, streams);
        _scope = new MemoryScope(backend);
        fill ??= static (b, i) => (2 * Philox.Uniform(0, RandomPurpose.Test, 0, b, i)) - 1;
        _contents = [.. lengths.Select((length, b) => Enumerable.Range(0, length).Select(i => (Real)fill(b, i)).ToArray())];
        var bytes = Math.Max(1, lengths.Sum(static length => (long)length) * sizeof(Real));
        _sets = new DeviceBuffer[streams ? (int)Math.Max(1, StreamedBytes / bytes) : 1][];
        for (var set = 0; set < _sets.Length; set++)
        {
            _sets[set] = [.. lengths.Select(backend.Memory.Rent)];
            Restore(set);
        }
        using var measured = new MeasuredBackend(backend);
        call(measured, _sets[0]);
        Restore(0);
        Flops = measured.Costs.Sum(static c => c.Flops);
        Bytes = measured.Costs.Sum(static c => c.Bytes);
    }

    /// <summary>Whether memory is its limit.</summary>
    public bool Streams { get; }

    /// <summary>Floating-point operations of a call.</summary>
    public double Flops { get; }

    /// <summary>The fewest bytes that a call can move.</summary>
    public double Bytes { get; }

    /// <summary>What is compared with the limit: bytes where it streams, else operations.</summary>
    public double Work => Streams ? Bytes : Flops;

    /// <summary>Work a second that the machine can do at most, measured now.</summary>
    public double MeasureLimit() => Streams ? _backend.MeasureBandwidth() : _backend.MeasurePeak();

    /// <summary>From now on the result is computed by other means, a rival's; it is held against the same numbers.</summary>
    public void Replace(Action<DeviceBuffer[]> call) => _call = (_, buffers) => call(buffers);

    public void Run()
    {
        _call(_backend, _sets[_next]);
        _next = (_next + 1) % _sets.Length;
    }

    /// <summary>Runs it once more: the largest difference from the computation in double, in units of the largest expected number.</summary>
    public double Error()
    {
        Restore(0);
        _call(_backend, _sets[0]);
        var found = new Real[_sets[0][_result].Length];
        _backend.Download(_sets[0][_result], found);
        double difference = 0, largest = 0;
        foreach (var (index, value) in _expected([.. _contents.Select(static c => Array.ConvertAll(c, static x => (double)x))]))
        {
            // A NaN must not be passed over by a comparison.
            difference = double.IsNaN(found[index]) ? double.PositiveInfinity : Math.Max(difference, Math.Abs(found[index] - value));
            largest = Math.Max(largest, Math.Abs(value));
        }
        return difference / largest;
    }

    public void Dispose() => _scope.Dispose();

    private void Restore(int set)
    {
        for (var b = 0; b < _contents.Length; b++)
        {
            _backend.Upload(_contents[b], _sets[set][b]);
        }
    }
}
