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

    private readonly WorkerTeam _team;

    /// <param name="threads">Number of threads; null for TINYDPO_THREADS, else the machine's cores.</param>
    public CpuBackend(int? threads = null)
    {
        _team = new WorkerTeam(threads ?? DefaultThreads());
        Memory = new DeviceMemoryManager(new BufferPool(
            static bytes => (nint)NativeMemory.AlignedAlloc(bytes, 64), static address => NativeMemory.AlignedFree((void*)address)));
    }

    public string Name => "cpu";

    public bool BatchInvariant => true;

    public bool HasSlidingWindow => true;

    public int CacheBlock => AttentionTile.Keys;

    public int Threads => _team.Threads;

    public DeviceMemoryManager Memory { get; }

    /// <summary>Every call has done its work when it returns.</summary>
    public void Synchronise()
    {
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
        Memory.Dispose();
    }

    private static Real* Data(DeviceBuffer buffer) => (Real*)buffer.Address;

    private static int* Data(IndexBuffer buffer) => (int*)buffer.Address;

    private static void RequireEqualLength(DeviceMemory buffer, int length) => DeviceMemory.RequireEqualLength(buffer, length);

    private static void RequireLength(DeviceMemory buffer, long length) => DeviceMemory.RequireLength(buffer, length);
}
