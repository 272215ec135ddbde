using System.Text.Encodings.Web;
using System.Text.Json;

namespace TinyDpo.Models;

/// <summary>
/// Writes a model's tensors as Hugging Face's <c>save_pretrained</c> does: in model.safetensors, or, where they are more than one file may
/// hold, in model-00001-of-0000N.safetensors and so on, with the index that <see cref="SafetensorsShards"/> reads.
/// </summary>
public static class ShardedWriter
{
    /// <summary>5 GB, as in save_pretrained.</summary>
    public const long DefaultShardBytes = 5_000_000_000;

    private static readonly JsonSerializerOptions s_indented = new() { WriteIndented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <param name="folder">Holds none of these files yet: that all of them appear as one is <see cref="AtomicFolder"/>'s part.</param>
    /// <param name="tensors">Each with the delegate that gives its values, asked in this order.</param>
    /// <param name="format">Of every number.</param>
    /// <param name="maxShardBytes">The most bytes of tensors in a file; a larger tensor has a file to itself.</param>
    /// <exception cref="InputException">A file cannot be written, or a finite number is beyond the format's range.</exception>
    public static void Write(
        string folder, IReadOnlyList<(string Name, int[] Shape, ReadValues Values)> tensors, NumberFormat format = NumberFormat.F32,
        long maxShardBytes = DefaultShardBytes)
    {
        var sizes = tensors.ToDictionary(static t => t.Name, t => (long)SafetensorsWriter.Count(t.Name, t.Shape) * StoredNumbers.Bytes(format));
        var shards = Split(tensors, t => sizes[t.Name], maxShardBytes);
        if (shards.Count == 1)
        {
            SafetensorsWriter.Write(Path.Combine(folder, SafetensorsShards.SingleName), tensors, format: format);
            return;
        }
        var map = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var (i, shard) in shards.Index())
        {
            var file = $"model-{i + 1:D5}-of-{shards.Count:D5}.safetensors";
            SafetensorsWriter.Write(Path.Combine(folder, file), shard, format: format);
            shard.ForEach(tensor => map.Add(tensor.Name, file));
        }
        // Last: it names no file that is not there.
        AtomicFile.WriteText(
            Path.Combine(folder, SafetensorsShards.IndexName),
            JsonSerializer.Serialize(new { metadata = new { total_size = sizes.Values.Sum() }, weight_map = map }, s_indented) + "\n");
    }

    // Greedily, in order, as huggingface_hub's split_torch_state_dict_into_shards: a file is closed when the next tensor would not fit.
    private static List<List<T>> Split<T>(IEnumerable<T> tensors, Func<T, long> sizeOf, long most)
    {
        var (shards, current, used) = (new List<List<T>>(), new List<T>(), 0L);
        foreach (var tensor in tensors)
        {
            var size = sizeOf(tensor);
            if (size > most)
            {
                shards.Add([tensor]);
                continue;
            }
            if (used + size > most)
            {
                shards.Add(current);
                (current, used) = ([], 0);
            }
            current.Add(tensor);
            used += size;
        }
        if (current.Count > 0 || shards.Count == 0)
        {
            shards.Add(current);
        }
        return shards;
    }
}
