using System.Globalization;
using System.Text.Json;

namespace TinyDpo.Models;

/// <summary>The keys that Llama, Mistral and Qwen2 share in config.json, and what each has of its own.</summary>
internal static class LlamaConfigJson
{
    // What transformers takes where a file, often an old one, is silent.
    private const string DefaultActivation = "silu";
    private const int DefaultWindow = 4096, DefaultWindowLayers = 28;
    private const string FullAttention = "full_attention", SlidingAttention = "sliding_attention";

    public static ModelConfig Read(ConfigFields fields, Architecture architecture, int maxPositions)
    {
        RequirePlain(fields);
        var hidden = fields.RequiredInt("hidden_size");
        var heads = fields.RequiredInt("num_attention_heads");
        var layers = fields.RequiredInt("num_hidden_layers");
        var (window, firstWindowLayer) = ReadWindow(fields, architecture, layers);
        return new ModelConfig
        {
            Architecture = architecture,
            VocabSize = fields.RequiredInt("vocab_size"),
            HiddenSize = hidden,
            Layers = layers,
            Heads = heads,
            // The others' silence means a number of their first release, not of this model.
            KeyValueHeads = fields.Int("num_key_value_heads")
                ?? (architecture == Architecture.Llama ? heads : throw fields.Missing("num_key_value_heads")),
            HeadSize = fields.Int("head_dim") ?? HeadSizeOf(fields, "num_attention_heads", "hidden_size", hidden, heads, ", or give head_dim"),
            IntermediateSize = fields.RequiredInt("intermediate_size"),
            MaxPositions = maxPositions,
            SlidingWindow = window,
            FirstWindowLayer = firstWindowLayer,
            RopeTheta = RopeConfigJson.ReadTheta(fields),
            RopeScaling = RopeConfigJson.ReadScaling(fields),
            NormEpsilon = fields.Double("rms_norm_eps") ?? throw fields.Missing("rms_norm_eps"),
            TieEmbeddings = fields.Bool("tie_word_embeddings") ?? false,
            BosTokenId = fields.FirstInt("bos_token_id"),
            EosTokenId = fields.FirstInt("eos_token_id"),
        };
    }

    public static void Write(Utf8JsonWriter writer, ModelConfig c)
    {
        writer.WriteNumber("hidden_size", c.HiddenSize);
        writer.WriteNumber("intermediate_size", c.IntermediateSize);
        writer.WriteNumber("num_hidden_layers", c.Layers);
        writer.WriteNumber("num_attention_heads", c.Heads);
        writer.WriteNumber("num_key_value_heads", c.KeyValueHeads);
        writer.WriteNumber("head_dim", c.HeadSize);
        writer.WriteNumber("max_position_embeddings", c.MaxPositions);
        WriteFloat(writer, "rope_theta", c.RopeTheta);
        RopeConfigJson.WriteScaling(writer, c.RopeScaling);
        WriteFloat(writer, "rms_norm_eps", c.NormEpsilon);
        writer.WriteString("hidden_act", DefaultActivation);
        switch (c.Architecture)
        {
            case Architecture.Llama:
                writer.WriteBoolean("attention_bias", false);
                writer.WriteBoolean("mlp_bias", false);
                break;
            case Architecture.Mistral when c.SlidingWindow is { } window:
                writer.WriteNumber("sliding_window", window);
                break;
            case Architecture.Mistral:
                writer.WriteNull("sliding_window");
                break;
            case Architecture.Qwen2 when c.SlidingWindow is { } window:
                writer.WriteBoolean("use_sliding_window", true);
                writer.WriteNumber("sliding_window", window);
                writer.WriteNumber("max_window_layers", c.FirstWindowLayer);
                break;
            case Architecture.Qwen2:
                writer.WriteBoolean("use_sliding_window", false);
                break;
        }
    }

    /// <summary>The width of a head where the file gives none.</summary>
    /// <exception cref="InputException">The heads do not share the width evenly.</exception>
    public static int HeadSizeOf(ConfigFields fields, string headsKey, string widthKey, int width, int heads, string otherwise = "") =>
        heads > 0 && width % heads == 0
            ? width / heads
            : throw fields.Fault(headsKey, $"{widthKey} {width} does not divide into {heads} heads", $"correct it{otherwise}");

    // With a point or an exponent always: Python reads 10000 as an int, where transformers wants a float.
    public static void WriteFloat(Utf8JsonWriter writer, string key, double value)
    {
        var digits = value.ToString("R", CultureInfo.InvariantCulture);
        writer.WritePropertyName(key);
        writer.WriteRawValue(digits.AsSpan().ContainsAny('.', 'E') ? digits : digits + ".0");
    }

    // The window, and the first layer that has it; as in transformers it spans Mistral's layers, and Qwen2's from max_window_layers on.
    private static (int? Window, int FirstLayer) ReadWindow(ConfigFields fields, Architecture architecture, int layers)
    {
        if (architecture == Architecture.Llama || (architecture == Architecture.Qwen2 && fields.Bool("use_sliding_window") != true))
        {
            return (null, 0);
        }
        var window = fields.Int("sliding_window") ?? (fields.Names("sliding_window") ? null : DefaultWindow);
        if (architecture == Architecture.Mistral || window is null)
        {
            return (window, 0);
        }
        var types = fields.Strings("layer_types");
        if (types.Count == 0)
        {
            return (window, fields.Int("max_window_layers") ?? DefaultWindowLayers);
        }
        var full = types.TakeWhile(static type => type == FullAttention).Count();
        return types.Count == layers && types.Skip(full).All(static type => type == SlidingAttention)
            ? (window, full)
            : throw fields.Fault(
                "layer_types", $"is not {layers} layers, some of {FullAttention} and then some of {SlidingAttention}", "give a model with such layers");
    }

    // Each of these would change what the model computes.
    private static void RequirePlain(ConfigFields fields)
    {
        foreach (var key in (string[])["attention_bias", "mlp_bias"])
        {
            if (fields.Bool(key) == true)
            {
                throw fields.Fault(key, "true is not supported", "give a model without it");
            }
        }
        if (fields.String("hidden_act") is { } activation && activation is not (DefaultActivation or "swish"))
        {
            throw fields.Fault("hidden_act", $"{Quoted.Name(activation)} is not supported", $"the one supported is {DefaultActivation}");
        }
    }
}
