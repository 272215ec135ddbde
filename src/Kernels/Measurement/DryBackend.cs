namespace TinyDpo.Kernels;

/// <summary>
/// A backend that computes nothing: its buffers have addresses and no memory, and what is downloaded is 0. Code that runs on it asks for the
/// memory that it would ask for on a device, so that this can be counted beforehand, on a machine that has not got it.
/// </summary>
/// <param name="name">What the device that is stood in for says of itself, here and in the others.</param>
/// <param name="batchInvariant">See <see cref="IBackend.BatchInvariant"/>.</param>
/// <param name="hasSlidingWindow">See <see cref="IBackend.HasSlidingWindow"/>.</param>
/// <param name="cacheBlock">See <see cref="IBackend.CacheBlock"/>.</param>
/// <param name="keepsPacked">Whether <see cref="IBackend.KeepPacked"/> takes memory, as on the CPU.</param>
public sealed partial class DryBackend(
    string name = "cpu", bool batchInvariant = true, bool hasSlidingWindow = true, int cacheBlock = AttentionTile.Keys, bool keepsPacked = true) : IBackend
{
    private const nint FirstAddress = 1 << 20;

    public string Name => name;

    public bool BatchInvariant => batchInvariant;

    public bool HasSlidingWindow => hasSlidingWindow;

    public int CacheBlock => cacheBlock;

    public DeviceMemoryManager Memory { get; } = new(NewPool());

    /// <summary>The tokens of the largest batch that was run backward.</summary>
    public int MostTokensTrained { get; private set; }

    /// <summary>The most bytes that a worker of the CPU would take in an attention kernel, beside the pool.</summary>
    public long AttentionScratchBytes { get; private set; }

    public void Synchronise()
    {
    }

    public void Upload(ReadOnlySpan<Real> source, DeviceBuffer destination)
    {
    }

    public void Upload(ReadOnlySpan<int> source, IndexBuffer destination)
    {
    }

    public void Download(DeviceBuffer source, Span<Real> destination) => destination.Clear();

    public void Download(IndexBuffer source, Span<int> destination) => destination.Clear();

    public void Copy(DeviceBuffer source, DeviceBuffer destination)
    {
    }

    public void Fill(DeviceBuffer destination, Real value)
    {
    }

    public void SegmentAttentionBackward(
        AttentionShape shape, SegmentLayout segments, DeviceBuffer q, DeviceBuffer k, DeviceBuffer v, DeviceBuffer output,
        DeviceBuffer logSumExp, DeviceBuffer dOutput, DeviceBuffer dq, DeviceBuffer dk, DeviceBuffer dv)
    {
        MostTokensTrained = Math.Max(MostTokensTrained, segments.Tokens);
        AttentionScratchBytes = Math.Max(AttentionScratchBytes, Kernels.SegmentAttention.ScratchBytes(segments, shape.HeadSize));
    }

    public double SumOfSquares(DeviceBuffer x) => 0;

    public void Dispose() => Memory.Dispose();

    private static BufferPool NewPool()
    {
        var next = FirstAddress;
        return new BufferPool(
            bytes =>
            {
                var address = next;
                next += (nint)bytes;
                return address;
            },
            static _ => { });
    }
}
