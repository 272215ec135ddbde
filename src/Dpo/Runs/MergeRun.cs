using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>A model read and written whole: adapters merged into its weights, a llama2.c file as a folder, numbers in another format.</summary>
public static class MergeRun
{
    /// <param name="path">A model, or adapters that name theirs.</param>
    /// <param name="tokenizer">Another tokenizer's path; needed with a llama2.c file.</param>
    /// <param name="output">The folder to write.</param>
    /// <param name="format">Of the weights in the file.</param>
    /// <param name="maxShardBytes">See <see cref="ShardedWriter"/>.</param>
    /// <param name="backend">The device.</param>
    /// <exception cref="InputException">Bad input, or the folder cannot be written, or is there and not empty.</exception>
    public static void Run(string path, string? tokenizer, string output, NumberFormat format, long maxShardBytes, IBackend backend)
    {
        AtomicFolder.RequireUnused(output);
        var (model, loaded) = ModelFile.Load(path, backend, tokenizer);
        model.MergeAdapters();
        ModelFile.Save(output, model, loaded, format, maxShardBytes);
    }
}
