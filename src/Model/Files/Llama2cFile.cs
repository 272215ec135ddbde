using System.Buffers.Binary;

namespace TinyDpo.Models;

/// <summary>
/// Weights as karpathy/llama2.c keeps them (its export version 0, little-endian): seven int32 (dim, hidden_dim, n_layers, n_heads,
/// n_kv_heads, vocab_size, negative where the head is not tied, seq_len), then float32: each kind of weight for all layers
/// together, two tables of rotary angles that nobody needs, and the head where it is not tied.
/// </summary>
public static class Llama2cFile
{
    private const int HeaderInts = 7;
    private const int HeaderBytes = HeaderInts * sizeof(int);

    // "ak42", with which later versions start.
    private const int LaterMagic = 0x616b3432;

    // Not in the file: llama2.c has them in its code, and ends and begins a story with the same token.
    private const double RopeTheta = 10000;
    private const double NormEpsilon = 1e-5;
    private const int StoryTokenId = 1;

    /// <summary>Reads a model: tensors split by layer, named as in Hugging Face's Llama, their rotary pairs left interleaved.</summary>
    /// <exception cref="InputException">The file cannot be read, its header makes no model, or its size is not what follows.</exception>
    public static (ModelConfig Config, IReadOnlyList<(string Name, int[] Shape, Real[] Values)> Tensors) Read(string path)
    {
        using var handle = InputFile.Open(path);
        var length = InputFile.Length(path, handle);
        if (length < HeaderBytes)
        {
            throw InputFile.CutShort(path, HeaderBytes, length);
        }
        var header = new byte[HeaderBytes];
        InputFile.ReadExactly(path, handle, header, 0);
        var config = ReadConfig(path, header);
        var layout = Layout(config);
        RequireLength(path, layout.Bytes, length);

        var tensors = layout.Tensors.Select(tensor =>
        {
            var values = new Real[tensor.Shape.Aggregate(1, (product, size) => product * size)];
            StoredNumbers.Read(path, handle, tensor.Offset, NumberFormat.F32, values);
            return (tensor.Name, tensor.Shape, values);
        }).ToList();
        return (config, tensors);
    }

    private static ModelConfig ReadConfig(string path, ReadOnlySpan<byte> header)
    {
        var fields = new int[HeaderInts];
        for (var i = 0; i < HeaderInts; i++)
        {
            fields[i] = BinaryPrimitives.ReadInt32LittleEndian(header[(i * sizeof(int))..]);
        }
        if (fields[0] == LaterMagic)
        {
            throw new InputException(path, "header", "is of a later version of llama2.c's format", "export it as version 0");
        }
        if (fields is not [var dim, var hidden, var layers, var heads and > 0, var keyValueHeads, var vocab, var positions]
            || dim % heads != 0 || vocab == int.MinValue)
        {
            throw new InputException(path, "header", $"[{string.Join(", ", fields)}] describes no model", "give a llama2.c file of version 0");
        }
        return new ModelConfig
        {
            VocabSize = Math.Abs(vocab),
            HiddenSize = dim,
            Layers = layers,
            Heads = heads,
            KeyValueHeads = keyValueHeads,
            HeadSize = dim / heads,
            IntermediateSize = hidden,
            MaxPositions = positions,
            RopeTheta = RopeTheta,
            NormEpsilon = NormEpsilon,
            TieEmbeddings = vocab > 0,
            RotaryInterleaved = true,
            BosTokenId = StoryTokenId,
            EosTokenId = StoryTokenId,
        }.Validated(path);
    }

    // Walks the file once in its own order. Validated bounds keep the offsets far below the range of long.
    private static (IReadOnlyList<(string Name, int[] Shape, long Offset)> Tensors, long Bytes) Layout(ModelConfig c)
    {
        var tensors = new List<(string, int[], long)>();
        var offset = (long)HeaderBytes;
        var (dim, hidden, keyValue) = (c.HiddenSize, c.IntermediateSize, c.KeyValueHeads * c.HeadSize);

        Add("model.embed_tokens", c.VocabSize, dim);
        AddPerLayer("input_layernorm", dim);
        AddPerLayer("self_attn.q_proj", dim, dim);
        AddPerLayer("self_attn.k_proj", keyValue, dim);
        AddPerLayer("self_attn.v_proj", keyValue, dim);
        AddPerLayer("self_attn.o_proj", dim, dim);
        AddPerLayer("post_attention_layernorm", dim);
        AddPerLayer("mlp.gate_proj", hidden, dim);
        AddPerLayer("mlp.down_proj", dim, hidden);
        AddPerLayer("mlp.up_proj", hidden, dim);
        Add("model.norm", dim);
        offset += (long)c.MaxPositions * c.HeadSize * sizeof(float);
        if (!c.TieEmbeddings)
        {
            Add("lm_head", c.VocabSize, dim);
        }
        return (tensors, offset);

        void AddPerLayer(string name, params int[] shape)
        {
            for (var layer = 0; layer < c.Layers; layer++)
            {
                Add($"model.layers.{layer}.{name}", shape);
            }
        }

        void Add(string name, params int[] shape)
        {
            tensors.Add(($"{name}.weight", shape, offset));
            offset += shape.Aggregate(1L, (product, size) => product * size) * sizeof(float);
        }
    }

    private static void RequireLength(string path, long expected, long actual)
    {
        if (actual < expected)
        {
            throw InputFile.CutShort(path, expected, actual);
        }
        if (actual > expected)
        {
            throw new InputException(path, null, $"has {actual - expected} bytes more than its header says",
                "give a llama2.c file of version 0");
        }
    }
}
