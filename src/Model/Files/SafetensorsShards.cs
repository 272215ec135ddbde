using System.Text.Json;

namespace TinyDpo.Models;

/// <summary>
/// A model's safetensors files read as one: model.safetensors, or the shards that model.safetensors.index.json names in its weight_map.
/// </summary>
public sealed class SafetensorsShards : IDisposable
{
    public const string SingleName = "model.safetensors";
    public const string IndexName = "model.safetensors.index.json";

    private readonly List<SafetensorsFile> _files;
    private readonly Dictionary<string, SafetensorsFile> _fileOf;

    private SafetensorsShards(List<SafetensorsFile> files, Dictionary<string, SafetensorsFile> fileOf) => (_files, _fileOf) = (files, fileOf);

    /// <summary>All tensors' names, shard by shard in the order of their data.</summary>
    public IEnumerable<string> Names => _files.SelectMany(static file => file.Names);

    /// <summary>Opens the single file of a folder where there is one, or else its shards.</summary>
    /// <exception cref="InputException">
    /// A file is missing or damaged; the index names files outside the folder, a tensor that its shard has not, or leaves one of a shard out.
    /// </exception>
    public static SafetensorsShards OpenFolder(string folder)
    {
        var (single, index) = (System.IO.Path.Combine(folder, SingleName), System.IO.Path.Combine(folder, IndexName));
        if (File.Exists(single) || !File.Exists(index))
        {
            RequireNoPickle(folder, SingleName, "pytorch_model.bin", "pytorch_model.bin.index.json");
            return Open(single);
        }
        return OpenIndex(folder, index);
    }

    /// <summary>Says what to do where a folder lacks a file, but has the same weights as PyTorch's pickle.</summary>
    /// <exception cref="InputException">It is so.</exception>
    internal static void RequireNoPickle(string folder, string name, params ReadOnlySpan<string> pickles)
    {
        foreach (var pickle in pickles)
        {
            var path = System.IO.Path.Combine(folder, pickle);
            if (!File.Exists(System.IO.Path.Combine(folder, name)) && File.Exists(path))
            {
                throw new InputException(path, null, "is PyTorch's pickle, which is not read", $"save the weights as {name} (save_pretrained with safe_serialization=True)");
            }
        }
    }

    /// <summary>Opens one file.</summary>
    /// <exception cref="InputException">As <see cref="SafetensorsFile.Open"/>.</exception>
    public static SafetensorsShards Open(string path)
    {
        var file = SafetensorsFile.Open(path);
        return new SafetensorsShards([file], file.Names.ToDictionary(static name => name, _ => file));
    }

    public bool Contains(string name) => _fileOf.ContainsKey(name);

    /// <summary>The file that holds a tensor; for one that none holds, the first.</summary>
    public string PathOf(string name) => (_fileOf.TryGetValue(name, out var file) ? file : _files[0]).Path;

    /// <inheritdoc cref="SafetensorsFile.RequireShape"/>
    public void RequireShape(string name, ReadOnlySpan<int> shape) =>
        (_fileOf.TryGetValue(name, out var file) ? file : _files[0]).RequireShape(name, shape);

    /// <inheritdoc cref="SafetensorsFile.Read(string, ReadOnlySpan{int}, Span{Real})"/>
    public void Read(string name, ReadOnlySpan<int> shape, Span<Real> destination) =>
        (_fileOf.TryGetValue(name, out var file) ? file : _files[0]).Read(name, shape, destination);

    public void Dispose() => _files.ForEach(static file => file.Dispose());

    private static SafetensorsShards OpenIndex(string folder, string index)
    {
        const string remedy = "download the index and all its files again";
        using var json = JsonInput.ReadFile(index);
        if (json.RootElement.ValueKind != JsonValueKind.Object || !json.RootElement.TryGetProperty("weight_map", out var map)
            || map.ValueKind != JsonValueKind.Object || map.EnumerateObject().Any(static entry => entry.Value.ValueKind != JsonValueKind.String))
        {
            throw new InputException(index, "weight_map", "is no JSON object of file names", remedy);
        }
        var files = new Dictionary<string, SafetensorsFile>();
        try
        {
            var fileOf = new Dictionary<string, SafetensorsFile>();
            foreach (var entry in map.EnumerateObject())
            {
                var shard = entry.Value.GetString()!;
                if (!files.TryGetValue(shard, out var file))
                {
                    // A shard lies beside its index, and nowhere else.
                    if (shard.Length == 0 || shard.AsSpan().ContainsAny('/', '\\') || shard is "." or ".." || shard.Any(char.IsControl))
                    {
                        throw new InputException(index, $"weight_map.{Quoted.Text(entry.Name)}", $"{Quoted.Name(shard)} is no plain file name", remedy);
                    }
                    files.Add(shard, file = SafetensorsFile.Open(System.IO.Path.Combine(folder, shard)));
                }
                fileOf.Add(entry.Name, file.Contains(entry.Name)
                    ? file
                    : throw new InputException(index, $"weight_map.{Quoted.Text(entry.Name)}", $"{Quoted.Name(shard)} has no such tensor", remedy));
            }
            foreach (var (shard, file) in files)
            {
                if (file.Names.FirstOrDefault(name => !fileOf.TryGetValue(name, out var owner) || owner != file) is { } extra)
                {
                    throw new InputException(file.Path, $"tensor {Quoted.Name(extra)}", $"is not in {IndexName} as one of this file", remedy);
                }
            }
            return files.Count > 0
                ? new SafetensorsShards([.. files.Values], fileOf)
                : throw new InputException(index, "weight_map", "names no tensor", remedy);
        }
        catch
        {
            foreach (var file in files.Values)
            {
                file.Dispose();
            }
            throw;
        }
    }
}
