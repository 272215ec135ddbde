namespace TinyDpo.Kernels;

/// <summary>
/// A device: its memory and one method for each kernel. Matrices are dense and row-major. A method that produces a gradient takes
/// `accumulate`: false writes the result (what stood there is not read), true adds to it. Every kernel accepts any size, none included.
/// </summary>
public partial interface IBackend : IDisposable
{
    /// <summary>The name that --device takes.</summary>
    string Name { get; }

    DeviceMemoryManager Memory { get; }

    /// <summary>
    /// Whether a row of a matrix product has the same bits whatever rows stand beside it, and with it a sequence's log-probs in any batch.
    /// </summary>
    bool BatchInvariant { get; }

    /// <summary>Whether attention takes a window that is shorter than a sequence: <see cref="AttentionShape.Window"/>.</summary>
    bool HasSlidingWindow { get; }

    /// <summary>Tokens in a block of a key/value cache: see <see cref="AppendCache"/>.</summary>
    int CacheBlock { get; }

    /// <summary>Waits until all work is done, for who takes its time. Downloads wait by themselves.</summary>
    void Synchronise();

    void Upload(ReadOnlySpan<Real> source, DeviceBuffer destination);

    void Upload(ReadOnlySpan<int> source, IndexBuffer destination);

    void Download(DeviceBuffer source, Span<Real> destination);

    void Download(IndexBuffer source, Span<int> destination);

    void Copy(DeviceBuffer source, DeviceBuffer destination);

    void Fill(DeviceBuffer destination, Real value);
}
