using TinyDpo.Kernels;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>Whole rows of logits, so many at a time that memory has a bound.</summary>
internal static class LogitChunks
{
    // The most logits of a model that exist at a time: 16 MiB of float.
    private const int LogitBudget = 4 * 1024 * 1024;

    /// <summary>Calls <paramref name="measure"/> for every chunk of rows, in a scope of its own: where the chunk begins, and its rows.</summary>
    public static void Each(IBackend backend, IndexBuffer rows, int vocabulary, Action<int, IndexBuffer> measure)
    {
        var all = new int[rows.Length];
        backend.Download(rows, all);
        var chunk = Math.Max(1, LogitBudget / vocabulary);
        for (var from = 0; from < all.Length; from += chunk)
        {
            using var scope = new StepScope(backend, gradients: false);
            var index = backend.Memory.RentIndex(Math.Min(chunk, all.Length - from));
            backend.Upload(all.AsSpan(from, index.Length), index);
            measure(from, index);
        }
    }
}
