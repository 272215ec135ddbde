using System.Runtime.InteropServices;
using System.Security.Cryptography;
using TinyDpo.Kernels;
using TinyDpo.Tensors;

namespace TinyDpo.Models;

/// <summary>
/// Models as they lie on disk: a Hugging Face folder (config.json, model.safetensors or its shards, tokenizer.json), read and written, or a
/// llama2.c FILE.bin with its TOK.bin, read.
/// </summary>
public static class ModelFile
{
    /// <summary>Reads a model and its tokenizer.</summary>
    /// <param name="path">A folder, which may hold adapters in PEFT's layout (then their model is read too), or a FILE.bin.</param>
    /// <param name="backend">Where the weights go.</param>
    /// <param name="tokenizer">Another tokenizer's path; needed with a FILE.bin.</param>
    /// <exception cref="InputException">A file is missing or damaged, a tensor is missing, unknown or of another shape, or the tokenizer has more ids than the model.</exception>
    public static (Transformer Model, ITokenizer Tokenizer) Load(string path, IBackend backend, string? tokenizer = null)
    {
        var model = LoadWeights(path, backend);
        if (tokenizer is null && !Directory.Exists(path))
        {
            throw new InputException(path, null, "a llama2.c file holds no tokenizer", "give its TOK.bin with --tokenizer");
        }
        return (model, LoadTokenizer(tokenizer ?? path, model));
    }

    /// <summary>Reads a folder that holds a reward model, a transformer with a scalar head, and its tokenizer.</summary>
    /// <exception cref="InputException">As <see cref="Load"/>; or the model has no scalar head.</exception>
    public static (Transformer Model, ITokenizer Tokenizer) LoadRewardModel(string path, IBackend backend)
    {
        var model = LoadFolder(path, backend, scalarHead: true);
        return (model, LoadTokenizer(path, model));
    }

    /// <summary>Reads a model without its tokenizer.</summary>
    public static Transformer LoadWeights(string path, IBackend backend)
    {
        if (LoraFile.IsAdapter(path))
        {
            var adapted = LoadWeights(LoraFile.BaseOf(path), backend);
            LoraFile.Attach(adapted, path);
            return adapted;
        }
        if (Directory.Exists(path))
        {
            return LoadFolder(path, backend, scalarHead: false);
        }
        if (!File.Exists(path))
        {
            throw new InputException(path, null, "no such model", "give a Hugging Face folder or a llama2.c FILE.bin");
        }
        return LoadLlama2c(path, backend);
    }

    /// <summary>Fills the weights from a safetensors file whose names may bear a prefix ("policy.").</summary>
    /// <exception cref="InputException">A tensor is missing or has another shape; or, without a prefix, the file holds one that the model does not know.</exception>
    public static void ReadWeights(Transformer model, string path, string prefix)
    {
        using var weights = SafetensorsShards.Open(path);
        ReadWeights(model, weights, prefix);
    }

    /// <summary>
    /// Writes config.json, model.safetensors or its shards, and the tokenizer's files into a folder; of a model with adapters these alone, in PEFT's layout,
    /// instead of the first two. Weights with interleaved rotary pairs (llama2.c) are
    /// permuted to Hugging Face's halves. The files are written beside the folder and put in its place as one, so that they always belong
    /// together; a folder that is there is replaced whole.
    /// </summary>
    /// <param name="folder">Where they go.</param>
    /// <param name="model">Its weights are rounded to <paramref name="format"/>.</param>
    /// <param name="tokenizer">Names the ids that begin and end a sequence.</param>
    /// <param name="format">Of the weights in the file.</param>
    /// <param name="maxShardBytes">See <see cref="ShardedWriter"/>; adapters are always one file.</param>
    /// <exception cref="InputException">The folder cannot be written, or the format cannot hold a weight; the old one is as it was.</exception>
    public static void Save(
        string folder, Transformer model, ITokenizer tokenizer, NumberFormat format = NumberFormat.F32, long maxShardBytes = ShardedWriter.DefaultShardBytes)
    {
        var config = model.Config with { RotaryInterleaved = false, BosTokenId = tokenizer.BosId ?? model.Config.BosTokenId, EosTokenId = tokenizer.EosId };
        AtomicFolder.Write(folder, partial =>
        {
            if (model.Adapters is not null)
            {
                LoraFile.Save(partial, model, format);
            }
            else
            {
                ShardedWriter.Write(partial, Stored(StoredWeight.Of(model), InHalves(model)), format, maxShardBytes);
                config.Save(Path.Combine(partial, "config.json"), format);
            }
            tokenizer.Save(partial);
        });
    }

    /// <summary>Writes the weights alone, under Hugging Face's names and in its rotary layout, into one file.</summary>
    public static void SaveWeights(string path, Transformer model, NumberFormat format = NumberFormat.F32) =>
        SafetensorsWriter.Write(path, Stored(StoredWeight.Of(model), InHalves(model)), format: format);

    /// <summary>
    /// Writes what training changes, adapters or else weights, to the last bit and without a change of rotary layout, for a checkpoint that
    /// only this program reads.
    /// </summary>
    /// <param name="folder">Gets model.safetensors or its shards.</param>
    /// <param name="model">Is not changed.</param>
    /// <param name="maxShardBytes">See <see cref="ShardedWriter"/>.</param>
    public static void SaveRawWeights(string folder, Transformer model, long maxShardBytes = ShardedWriter.DefaultShardBytes) => ShardedWriter.Write(
        folder, Stored(model.Adapters?.Stored() ?? StoredWeight.Of(model), static (_, tensor) => tensor.ToArray()), SafetensorsWriter.Exact, maxShardBytes);

    /// <summary>Reads what <see cref="SaveRawWeights"/> wrote.</summary>
    /// <exception cref="InputException">As <see cref="ReadWeights(Transformer, string, string)"/>.</exception>
    public static void ReadRawWeights(Transformer model, string folder)
    {
        using var weights = SafetensorsShards.OpenFolder(folder);
        if (model.Adapters is not null)
        {
            LoraFile.ReadWeights(model, weights);
        }
        else
        {
            ReadWeights(model, weights, prefix: "");
        }
    }

    /// <summary>SHA-256, in hex, of configuration, weights and adapters: part of the key of a cached reference.</summary>
    public static string Fingerprint(Transformer model)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(System.Text.Encoding.UTF8.GetBytes(model.Config.ToString()));
        foreach (var (name, tensor) in model.Parameters().Concat(model.Adapters?.Parameters.Tensors ?? []))
        {
            hash.AppendData(System.Text.Encoding.UTF8.GetBytes(name));
            hash.AppendData(MemoryMarshal.AsBytes(tensor.ToArray().AsSpan()));
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static Transformer LoadFolder(string path, IBackend backend, bool scalarHead)
    {
        var file = Path.Combine(path, "config.json");
        var config = ModelConfig.FromJson(file);
        if (config.ScalarHead != scalarHead)
        {
            throw scalarHead
                ? new InputException(file, "architectures", "is no reward model: it predicts tokens", "give a folder that reward-model wrote")
                : new InputException(file, "architectures", "is a reward model: it predicts no tokens", "give a model with an output head");
        }
        using var weights = SafetensorsShards.OpenFolder(path);
        RequireStored(StoredWeight.ShapesOf(config), weights, prefix: "", name => IsSuperfluous(name, config)); // a configuration may claim any size
        var model = new Transformer(config, backend) { Source = path };
        ReadWeights(model, weights, prefix: "");
        return model;
    }

    private static ITokenizer LoadTokenizer(string file, Transformer model)
    {
        var tokenizer = TokenizerFile.Load(file);
        TokenizerFile.CheckVocabulary(tokenizer, model.Config.VocabSize, file);
        return tokenizer;
    }

    private static void ReadWeights(Transformer model, SafetensorsShards file, string prefix) =>
        ReadStored(StoredWeight.Of(model), file, prefix, name => IsSuperfluous(name, model.Config));

    /// <summary>Fills parameters from a file.</summary>
    /// <param name="stored">The tensors that it must hold.</param>
    /// <param name="file">The file, or a model's shards.</param>
    /// <param name="prefix">Before each name; where there is one, the file may hold others.</param>
    /// <param name="isSuperfluous">Whether another tensor is passed over.</param>
    internal static void ReadStored(IEnumerable<StoredWeight> stored, SafetensorsShards file, string prefix, Func<string, bool> isSuperfluous)
    {
        var tensors = stored.ToList();
        RequireStored(tensors, file, prefix, isSuperfluous);
        foreach (var weight in tensors)
        {
            var name = NameIn(file, prefix, weight);
            var values = new Real[weight.Shape.Aggregate(1, static (a, b) => a * b)];
            file.Read(name, weight.Shape, values);
            RequireFinite(values, file.PathOf(name), name);
            weight.Scatter(values);
        }
    }

    /// <summary>Checks that a file holds the tensors of a model, by the parameters of <see cref="ReadStored"/>, before anything is made for them.</summary>
    /// <exception cref="InputException">A tensor is missing, unknown or of another shape.</exception>
    internal static void RequireStored(IEnumerable<StoredShape> stored, SafetensorsShards file, string prefix, Func<string, bool> isSuperfluous)
    {
        const string remedy = "check that weights and configuration belong together";
        var named = stored.Select(tensor => (Name: NameIn(file, prefix, tensor), tensor.Shape)).ToList();
        var known = named.Select(static s => s.Name).ToHashSet();
        if (prefix.Length == 0 && file.Names.FirstOrDefault(name => !known.Contains(name) && !isSuperfluous(name)) is { } unknown)
        {
            throw new InputException(file.PathOf(unknown), $"tensor {Quoted.Name(unknown)}", "the model of the configuration has no such tensor", remedy);
        }
        foreach (var (name, shape) in named)
        {
            if (!file.Contains(name))
            {
                throw new InputException(file.PathOf(name), $"tensor {Quoted.Name(name)}", "is missing", remedy);
            }
            file.RequireShape(name, shape);
        }
    }

    private static string NameIn(SafetensorsShards file, string prefix, StoredShape weight) =>
        !file.Contains(prefix + weight.Name) && file.Contains(prefix + weight.NameWithoutHead) ? prefix + weight.NameWithoutHead : prefix + weight.Name;

    /// <summary>Parameters as the writers of files take them; one tensor at a time is in managed memory.</summary>
    internal static IReadOnlyList<(string Name, int[] Shape, ReadValues Values)> Stored(IEnumerable<StoredWeight> stored, Func<string, Tensor, Real[]> values) =>
    [
        .. stored.Select(weight =>
        {
            Real[] gathered = [];
            ReadValues read = (start, destination) =>
            {
                gathered = start == 0 ? weight.Gather(values) : gathered;
                gathered.AsSpan(start, destination.Length).CopyTo(destination);
                gathered = start + destination.Length == gathered.Length ? [] : gathered;
            };
            return (weight.Name, weight.Shape, read);
        }),
    ];

    private static void RequireFinite(Real[] values, string path, string name)
    {
        if (!Array.TrueForAll(values, Real.IsFinite))
        {
            throw new InputException(path, $"tensor '{name}'", "holds a number that is not finite", "the weights are damaged: copy or train them again");
        }
    }

    // Tensors that other writers store and nobody needs: a tied head, rotary angles, GPT-2's causal masks.
    private static bool IsSuperfluous(string name, ModelConfig config) =>
        (name == Transformer.HeadName && config.TieEmbeddings)
        || name.EndsWith("rotary_emb.inv_freq", StringComparison.Ordinal)
        || (config.Architecture == Architecture.Gpt2
            && (name.EndsWith(".attn.bias", StringComparison.Ordinal) || name.EndsWith(".attn.masked_bias", StringComparison.Ordinal)));

    // A parameter's values, with rotary pairs in Hugging Face's halves.
    private static Func<string, Tensor, Real[]> InHalves(Transformer model) => (name, tensor) =>
    {
        var values = tensor.ToArray();
        var c = model.Config;
        if (!c.RotaryInterleaved)
        {
            return values;
        }
        return name.EndsWith("q_proj.weight", StringComparison.Ordinal) ? RotaryLayout.ToHalf(values, c.Heads, c.HeadSize)
            : name.EndsWith("k_proj.weight", StringComparison.Ordinal) ? RotaryLayout.ToHalf(values, c.KeyValueHeads, c.HeadSize)
            : values;
    };

    private static Transformer LoadLlama2c(string path, IBackend backend)
    {
        var (config, tensors) = Llama2cFile.Read(path);
        var model = new Transformer(config, backend) { Source = path };
        foreach (var (name, _, values) in tensors)
        {
            RequireFinite(values, path, name);
            backend.Upload(values, model.Weights[name].Data);
        }
        return model;
    }
}
