using System.Runtime.InteropServices;

namespace TinyDpo.Kernels;

/// <summary>
/// The managed backend: every kernel in C#, vectorised, over a team of threads. Work is split over outputs and no sum depends on the split,
/// so results have the same bits for every thread count.
/// </summary>
public sealed unsafe partial class CpuBackend : IBackend
{
    // Elements a worker takes at a time in elementwise kernels: enough to pay for the hand-out, few enough to balance two cores.
    private const int ElementGrain = 16 * 1024;

    // What a thread other than the caller's rents from while it runs a body of ForEachWorker.
    [ThreadStatic]
    private static (CpuBackend Backend, DeviceMemoryManager Memory) ownMemory;

    private readonly WorkerTeam _team;
    private readonly DeviceMemoryManager _memory = NewMemory();
    private bool _apart; // in ForEachWorker; outside it nobody need ask which thread this is

    /// <param name="threads">Number of threads; null for TINYDPO_THREADS, else the machine's cores.</param>
    public CpuBackend(int? threads = null) => _team = new WorkerTeam(threads ?? DefaultThreads());

    public string Name => "cpu";

    public bool BatchInvariant => true;

    public bool HasSlidingWindow => true;

    public int CacheBlock => AttentionTile.Keys;

    public int Threads => _team.Threads;

    public DeviceMemoryManager Memory => _apart && ownMemory.Backend == this ? ownMemory.Memory : _memory;

    /// <summary>Every call has done its work when it returns.</summary>
    public void Synchronise()
    {
    }

    /// <summary>
    /// Calls body(worker) once on each thread at the same time, worker from 0. In it every kernel runs on the thread that calls it alone, and no thread
    /// waits for another. Those beside the caller's rent from memory of their own, which is gone when the body ends: nothing that it rents may outlive it.
    /// </summary>
    /// <exception cref="InvalidOperationException">Called inside a body, or while another thread calls it; or a body has kept what it rented.</exception>
    public void ForEachWorker(Action<int> body)
    {
        if (_apart)
        {
            throw new InvalidOperationException("ForEachWorker is running: its threads are not free for another");
        }
        _apart = true;
        try
        {
            _team.Run(0, (_, worker) => RunApart(worker, body));
        }
        finally
        {
            _apart = false;
        }
    }

    /// <summary>Floating-point operations a second that this backend's threads could do at most: see <see cref="FmaPeak"/>.</summary>
    public double MeasurePeak() => FmaPeak.Measure(_team);

    /// <summary>The most memory that kernels take beside the pool.</summary>
    /// <param name="threads">Threads of the backend.</param>
    /// <param name="attentionBytes">What attention takes a thread: <see cref="DryBackend.AttentionScratchBytes"/>.</param>
    public static long ScratchBytes(int threads, long attentionBytes) => Kernels.Gemm.MostScratchBytes(threads) + (threads * attentionBytes);

    /// <summary>Bytes a second that this backend's threads could move at most: see <see cref="MemoryBandwidth"/>.</summary>
    public double MeasureBandwidth() => MemoryBandwidth.Measure(_team);

    public static int DefaultThreads() =>
        int.TryParse(Environment.GetEnvironmentVariable("TINYDPO_THREADS"), out var threads) && threads > 0
            ? threads
            : Environment.ProcessorCount;

    public void Upload(ReadOnlySpan<Real> source, DeviceBuffer destination)
    {
        RequireEqualLength(destination, source.Length);
        source.CopyTo(new Span<Real>(Data(destination), destination.Length));
    }

    public void Upload(ReadOnlySpan<int> source, IndexBuffer destination)
    {
        RequireEqualLength(destination, source.Length);
        source.CopyTo(new Span<int>(Data(destination), destination.Length));
    }

    public void Download(DeviceBuffer source, Span<Real> destination) =>
        new ReadOnlySpan<Real>(Data(source), source.Length).CopyTo(destination);

    public void Download(IndexBuffer source, Span<int> destination) =>
        new ReadOnlySpan<int>(Data(source), source.Length).CopyTo(destination);

    public void Copy(DeviceBuffer source, DeviceBuffer destination)
    {
        RequireLength(destination, source.Length);
        new ReadOnlySpan<Real>(Data(source), source.Length).CopyTo(new Span<Real>(Data(destination), source.Length));
    }

    public void Fill(DeviceBuffer destination, Real value) => new Span<Real>(Data(destination), destination.Length).Fill(value);

    public void Dispose()
    {
        _team.Dispose();
        _memory.Dispose();
    }

    private void RunApart(int worker, Action<int> body)
    {
        if (worker == 0)
        {
            body(0);
            return;
        }
        using var memory = NewMemory();
        memory.Poison = _memory.Poison;
        ownMemory = (this, memory);
        try
        {
            body(worker);
            if (memory.Outstanding != 0)
            {
                throw new InvalidOperationException($"a body of ForEachWorker keeps {memory.Outstanding} buffers, whose memory ends with it");
            }
        }
        finally
        {
            ownMemory = default;
        }
    }

    private static DeviceMemoryManager NewMemory() => new(new BufferPool(
        static bytes => (nint)NativeMemory.AlignedAlloc(bytes, 64), static address => NativeMemory.AlignedFree((void*)address)));

    private static Real* Data(DeviceBuffer buffer) => (Real*)buffer.Address;

    private static int* Data(IndexBuffer buffer) => (int*)buffer.Address;

    private static void RequireEqualLength(DeviceMemory buffer, int length) => DeviceMemory.RequireEqualLength(buffer, length);

    private static void RequireLength(DeviceMemory buffer, long length) => DeviceMemory.RequireLength(buffer, length);
}
