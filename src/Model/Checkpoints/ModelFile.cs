using System.Runtime.InteropServices;
using System.Security.Cryptography;
using TinyDpo.Kernels;
using TinyDpo.Tensors;

namespace TinyDpo.Models;

/// <summary>
/// Models as they lie on disk: a Hugging Face folder (config.json, model.safetensors, tokenizer.json), read and written, or a llama2.c
/// FILE.bin with its TOK.bin, read.
/// </summary>
public static class ModelFile
{
    private const string WeightsName = "model.safetensors";

    /// <summary>Reads a model and its tokenizer.</summary>
    /// <param name="path">A folder or a FILE.bin.</param>
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
        using var file = SafetensorsFile.Open(path);
        var unknown = file.Names.FirstOrDefault(name => prefix.Length == 0 && !IsKnown(name, model));
        if (unknown is not null)
        {
            throw new InputException(path, $"tensor '{unknown}'", "the model of config.json has no such tensor", "check that weights and config.json belong together");
        }
        foreach (var (name, tensor) in model.Parameters())
        {
            if (!file.Contains(prefix + name))
            {
                throw new InputException(path, $"tensor '{prefix + name}'", "is missing", "check that weights and config.json belong together");
            }
            var values = new Real[tensor.Shape.Count];
            file.Read(prefix + name, tensor.Shape.ToArray(), values);
            RequireFinite(values, path, prefix + name);
            model.Backend.Upload(values, tensor.Data);
        }
    }

    /// <summary>
    /// Writes config.json, model.safetensors and the tokenizer's files into a folder. Weights with interleaved rotary pairs (llama2.c) are
    /// permuted to Hugging Face's halves. The files are written beside the folder and put in its place as one, so that they always belong
    /// together; a folder that is there is replaced whole.
    /// </summary>
    /// <exception cref="InputException">The folder cannot be written; the old one is as it was.</exception>
    public static void Save(string folder, Transformer model, ITokenizer tokenizer)
    {
        var config = model.Config with { RotaryInterleaved = false, BosTokenId = tokenizer.BosId, EosTokenId = tokenizer.EosId };
        AtomicFolder.Write(folder, partial =>
        {
            SaveWeights(Path.Combine(partial, WeightsName), model);
            config.Save(Path.Combine(partial, "config.json"));
            tokenizer.Save(partial);
        });
    }

    /// <summary>Writes the weights alone, under Hugging Face's names and in its rotary layout.</summary>
    public static void SaveWeights(string path, Transformer model) => Write(path, model, Values, exact: false);

    /// <summary>Writes the weights as they are, to the last bit, for a checkpoint that only this program reads.</summary>
    public static void SaveRawWeights(string path, Transformer model) => Write(path, model, static (_, _, tensor) => tensor.ToArray(), exact: true);

    /// <summary>SHA-256, in hex, of configuration and weights: part of the key of a cached reference.</summary>
    public static string Fingerprint(Transformer model)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(System.Text.Encoding.UTF8.GetBytes(model.Config.ToString()));
        foreach (var (name, tensor) in model.Parameters())
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
        var model = new Transformer(config, backend);
        ReadWeights(model, Path.Combine(path, WeightsName), prefix: "");
        return model;
    }

    private static ITokenizer LoadTokenizer(string file, Transformer model)
    {
        var tokenizer = TokenizerFile.Load(file);
        TokenizerFile.CheckVocabulary(tokenizer, model.Config.VocabSize, file);
        return tokenizer;
    }

    private static void Write(string path, Transformer model, Func<Transformer, string, Tensor, Real[]> values, bool exact) =>
        SafetensorsWriter.Write(
            path, [.. model.Parameters().Select(p => (p.Name, p.Value.Shape.ToArray(), (ReadOnlyMemory<Real>)values(model, p.Name, p.Value)))],
            exact: exact);

    private static void RequireFinite(Real[] values, string path, string name)
    {
        if (!Array.TrueForAll(values, Real.IsFinite))
        {
            throw new InputException(path, $"tensor '{name}'", "holds a number that is not finite", "the weights are damaged: copy or train them again");
        }
    }

    private static bool IsKnown(string name, Transformer model) =>
        model.Parameters().Any(p => p.Name == name)
        || (name == "lm_head.weight" && model.Config.TieEmbeddings) // some writers store the tied head too
        || name.EndsWith("rotary_emb.inv_freq", StringComparison.Ordinal); // written by old versions; computed here

    private static Real[] Values(Transformer model, string name, Tensor tensor)
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
    }

    private static Transformer LoadLlama2c(string path, IBackend backend)
    {
        var (config, tensors) = Llama2cFile.Read(path);
        var model = new Transformer(config, backend);
        foreach (var (name, _, values) in tensors)
        {
            RequireFinite(values, path, name);
            backend.Upload(values, model.Weights[name].Data);
        }
        return model;
    }
}
