using System.Text.Json;

namespace TinyDpo.Models;

/// <summary>The keys of a GPT-2 in config.json. Dropout is not read: it has no part in DPO, whose reference must take the same path.</summary>
internal static class Gpt2ConfigJson
{
    // What transformers takes where a file is silent.
    private const string Activation = "gelu_new";
    private const double DefaultEpsilon = 1e-5;

    /// <summary>The key that a GPT-2 has for what Llama's key names.</summary>
    public static string KeyOf(string llamaKey) => llamaKey switch
    {
        "hidden_size" => "n_embd",
        "num_hidden_layers" => "n_layer",
        "num_attention_heads" => "n_head",
        "intermediate_size" => "n_inner",
        "max_position_embeddings" => "n_positions",
        "rms_norm_eps" => "layer_norm_epsilon",
        _ => llamaKey,
    };

    public static ModelConfig Read(ConfigFields fields)
    {
        RequirePlain(fields);
        var (width, heads) = (fields.RequiredInt("n_embd"), fields.RequiredInt("n_head"));
        return new ModelConfig
        {
            Architecture = Architecture.Gpt2,
            VocabSize = fields.RequiredInt("vocab_size"),
            HiddenSize = width,
            Layers = fields.RequiredInt("n_layer"),
            Heads = heads,
            KeyValueHeads = heads,
            HeadSize = LlamaConfigJson.HeadSizeOf(fields, "n_head", "n_embd", width, heads),
            IntermediateSize = fields.Int("n_inner") ?? (int)Math.Min(4L * width, int.MaxValue),
            MaxPositions = fields.RequiredInt("n_positions"),
            NormEpsilon = fields.Double("layer_norm_epsilon") ?? DefaultEpsilon,
            TieEmbeddings = fields.Bool("tie_word_embeddings") ?? true,
            BosTokenId = fields.FirstInt("bos_token_id"),
            EosTokenId = fields.FirstInt("eos_token_id"),
        };
    }

    public static void Write(Utf8JsonWriter writer, ModelConfig c)
    {
        writer.WriteNumber("n_embd", c.HiddenSize);
        writer.WriteNumber("n_inner", c.IntermediateSize);
        writer.WriteNumber("n_layer", c.Layers);
        writer.WriteNumber("n_head", c.Heads);
        writer.WriteNumber("n_positions", c.MaxPositions);
        LlamaConfigJson.WriteFloat(writer, "layer_norm_epsilon", c.NormEpsilon);
        writer.WriteString("activation_function", Activation);
        writer.WriteBoolean("scale_attn_weights", true);
        writer.WriteBoolean("scale_attn_by_inverse_layer_idx", false);
    }

    // Each of these would change what the model computes. gelu_pytorch_tanh is another name of the same function.
    private static void RequirePlain(ConfigFields fields)
    {
        const string remedy = "give a model without it";
        if (fields.String("activation_function") is { } activation && activation is not (Activation or "gelu_pytorch_tanh"))
        {
            throw fields.Fault("activation_function", $"{Quoted.Name(activation)} is not supported", $"the one supported is {Activation}");
        }
        if (fields.Bool("scale_attn_weights") == false)
        {
            throw fields.Fault("scale_attn_weights", "false is not supported", remedy);
        }
        foreach (var key in (string[])["scale_attn_by_inverse_layer_idx", "add_cross_attention"])
        {
            if (fields.Bool(key) == true)
            {
                throw fields.Fault(key, "true is not supported", remedy);
            }
        }
    }
}
