using System.Globalization;
using System.Text.Json;

namespace TinyDpo.Models;

/// <summary>
/// The configuration as Hugging Face's config.json of a LlamaForCausalLM, or with a scalar head of a LlamaForSequenceClassification.
/// </summary>
public sealed partial record ModelConfig
{
    private const string Architecture = "LlamaForCausalLM";
    private const string ScalarArchitecture = "LlamaForSequenceClassification";
    private const string ModelType = "llama";

    /// <summary>Workloads name no greatest length; this is beyond any of theirs.</summary>
    private const int WorkloadMaxPositions = 4096;

    // What transformers takes where a file, often an old one, is silent.
    private const double DefaultRopeTheta = 10000;
    private const string DefaultActivation = "silu";

    /// <summary>Reads a config.json.</summary>
    /// <exception cref="InputException">It cannot be read, is of another architecture, or asks for what this one does not do.</exception>
    public static ModelConfig FromJson(string path)
    {
        using var document = JsonInput.ReadFile(path);
        var fields = new Fields(path, document.RootElement);
        RequireLlama(fields);
        return Parse(fields, fields.RequiredInt("max_position_embeddings"));
    }

    /// <summary>Reads the "config" object of a workload: the same keys, without architecture and greatest length.</summary>
    /// <param name="config">The object.</param>
    /// <param name="file">The workload's file, for messages.</param>
    /// <exception cref="InputException">Names the key at fault.</exception>
    public static ModelConfig FromWorkload(JsonElement config, string file)
    {
        var fields = new Fields(file, config);
        return Parse(fields, fields.Int("max_position_embeddings") ?? WorkloadMaxPositions);
    }

    /// <summary>Writes a config.json that transformers reads.</summary>
    /// <exception cref="InputException">The file cannot be written.</exception>
    /// <exception cref="InvalidOperationException">Rotary pairs are interleaved, for which config.json has no word.</exception>
    public void Save(string path)
    {
        if (RotaryInterleaved)
        {
            throw new InvalidOperationException("config.json means halves: permute q_proj and k_proj with RotaryLayout.ToHalf first");
        }
        AtomicFile.Write(path, stream =>
        {
            using var writer = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true });
            writer.WriteStartObject();
            writer.WriteStartArray("architectures");
            writer.WriteStringValue(ScalarHead ? ScalarArchitecture : Architecture);
            writer.WriteEndArray();
            if (ScalarHead)
            {
                WriteOneLabel(writer);
            }
            writer.WriteString("model_type", ModelType);
            writer.WriteString("torch_dtype", "float32");
            writer.WriteNumber("vocab_size", VocabSize);
            writer.WriteNumber("hidden_size", HiddenSize);
            writer.WriteNumber("intermediate_size", IntermediateSize);
            writer.WriteNumber("num_hidden_layers", Layers);
            writer.WriteNumber("num_attention_heads", Heads);
            writer.WriteNumber("num_key_value_heads", KeyValueHeads);
            writer.WriteNumber("head_dim", HeadSize);
            writer.WriteNumber("max_position_embeddings", MaxPositions);
            WriteFloat(writer, "rope_theta", RopeTheta);
            WriteFloat(writer, "rms_norm_eps", RmsNormEpsilon);
            writer.WriteString("hidden_act", DefaultActivation);
            writer.WriteBoolean("attention_bias", false);
            writer.WriteBoolean("mlp_bias", false);
            writer.WriteBoolean("tie_word_embeddings", TieEmbeddings);
            WriteId(writer, "bos_token_id", BosTokenId);
            WriteId(writer, "eos_token_id", EosTokenId);
            writer.WriteEndObject();
        });
    }

    // Transformers counts the labels here; where they are missing it takes two.
    private static void WriteOneLabel(Utf8JsonWriter writer)
    {
        writer.WriteStartObject("id2label");
        writer.WriteString("0", "LABEL_0");
        writer.WriteEndObject();
    }

    private static ModelConfig Parse(Fields fields, int maxPositions)
    {
        RequirePlain(fields);
        var hidden = fields.RequiredInt("hidden_size");
        var heads = fields.RequiredInt("num_attention_heads");
        return new ModelConfig
        {
            VocabSize = fields.RequiredInt("vocab_size"),
            HiddenSize = hidden,
            Layers = fields.RequiredInt("num_hidden_layers"),
            Heads = heads,
            KeyValueHeads = fields.Int("num_key_value_heads") ?? heads,
            HeadSize = fields.Int("head_dim") ?? HeadSizeOf(fields, hidden, heads),
            IntermediateSize = fields.RequiredInt("intermediate_size"),
            MaxPositions = maxPositions,
            RopeTheta = ReadRopeTheta(fields),
            RmsNormEpsilon = fields.Double("rms_norm_eps") ?? throw fields.Missing("rms_norm_eps"),
            TieEmbeddings = fields.Bool("tie_word_embeddings") ?? false,
            ScalarHead = fields.Strings("architectures").Contains(ScalarArchitecture),
            BosTokenId = fields.FirstInt("bos_token_id"),
            EosTokenId = fields.FirstInt("eos_token_id"),
        }.Validated(fields.File);
    }

    private static int HeadSizeOf(Fields fields, int hidden, int heads) => heads > 0 && hidden % heads == 0
        ? hidden / heads
        : throw fields.Fault("num_attention_heads", $"hidden_size {hidden} does not divide into {heads} heads",
            "correct it or give head_dim");

    private static void RequireLlama(Fields fields)
    {
        var remedy = $"the one supported is {Architecture} (model_type {ModelType})";
        var named = fields.Strings("architectures");
        if (named.FirstOrDefault(name => name is not (Architecture or ScalarArchitecture)) is { } other)
        {
            throw fields.Fault("architectures", $"{Quoted.Name(other)} is not supported", remedy);
        }
        var type = fields.String("model_type");
        if (type is not null && type != ModelType)
        {
            throw fields.Fault("model_type", $"{Quoted.Name(type)} is not supported", remedy);
        }
        if (named.Count == 0 && type is null)
        {
            throw fields.Fault("architectures", "is missing, and so is model_type", remedy);
        }
    }

    // Each of these would change what the model computes.
    private static void RequirePlain(Fields fields)
    {
        const string remedy = "give a model without it";
        foreach (var key in (string[])["attention_bias", "mlp_bias"])
        {
            if (fields.Bool(key) == true)
            {
                throw fields.Fault(key, "true is not supported", remedy);
            }
        }
        if (fields.String("hidden_act") is { } activation && activation is not (DefaultActivation or "swish"))
        {
            throw fields.Fault("hidden_act", $"{Quoted.Name(activation)} is not supported", $"the one supported is {DefaultActivation}");
        }
        foreach (var key in (string[])["rope_scaling", "rope_parameters"])
        {
            if (fields.Object(key) is { } rope)
            {
                var kind = rope.String("rope_type") ?? rope.String("type") ?? (key == "rope_parameters" ? "default" : "(unnamed)");
                if (kind != "default" || rope.Double("partial_rotary_factor") is not (null or 1))
                {
                    throw fields.Fault(key, $"rotary positions of type {Quoted.Name(kind)} with this scaling are not supported", remedy);
                }
            }
        }
        if (fields.Has("quantization_config"))
        {
            throw fields.Fault("quantization_config", "quantised weights are not supported", remedy);
        }
    }

    // Transformers 5 moved the base from the top level into rope_parameters.
    private static double ReadRopeTheta(Fields fields)
    {
        var top = fields.Double("rope_theta");
        var nested = fields.Object("rope_parameters")?.Double("rope_theta");
        if (top is not null && nested is not null && top != nested)
        {
            throw fields.Fault("rope_theta", $"is {top}, but rope_parameters.rope_theta is {nested}", "remove the wrong one");
        }
        return nested ?? top ?? DefaultRopeTheta;
    }

    // With a point or an exponent always: Python reads 10000 as an int, where transformers wants a float.
    private static void WriteFloat(Utf8JsonWriter writer, string key, double value)
    {
        var digits = value.ToString("R", CultureInfo.InvariantCulture);
        writer.WritePropertyName(key);
        writer.WriteRawValue(digits.AsSpan().ContainsAny('.', 'E') ? digits : digits + ".0");
    }

    private static void WriteId(Utf8JsonWriter writer, string key, int? id)
    {
        if (id is null)
        {
            writer.WriteNull(key);
        }
        else
        {
            writer.WriteNumber(key, id.Value);
        }
    }

    /// <summary>An object of the file, its values asked for by kind; null in the file counts as absent.</summary>
    private sealed class Fields
    {
        private readonly JsonElement element;
        private readonly string prefix;

        public Fields(string file, JsonElement element, string prefix = "")
        {
            (File, this.element, this.prefix) = (file, element, prefix);
            if (element.ValueKind != JsonValueKind.Object)
            {
                var place = prefix.Length > 0 ? prefix.TrimEnd('.') : null;
                throw new InputException(file, place, "is no JSON object", "correct the configuration");
            }
        }

        public string File { get; }

        public InputException Fault(string key, string problem, string remedy) => new(File, prefix + key, problem, remedy);

        public InputException Missing(string key) => Fault(key, "is missing", "add it to the configuration");

        public bool Has(string key) => Find(key) is not null;

        public int RequiredInt(string key) => Int(key) ?? throw Missing(key);

        public int? Int(string key) => Find(key) is { } value ? ToInt(key, value) : null;

        public int? FirstInt(string key) => Find(key) switch
        {
            null => null,
            { ValueKind: JsonValueKind.Array } several => several.GetArrayLength() == 0 ? null : ToInt(key, several[0]),
            { } one => ToInt(key, one),
        };

        public double? Double(string key) => Find(key) switch
        {
            null => null,
            { ValueKind: JsonValueKind.Number } value => value.GetDouble(),
            { } other => throw Wrong(key, "number", other),
        };

        public bool? Bool(string key) => Find(key) switch
        {
            null => null,
            { ValueKind: JsonValueKind.True or JsonValueKind.False } value => value.GetBoolean(),
            { } other => throw Wrong(key, "true or false", other),
        };

        public string? String(string key) => Find(key) switch
        {
            null => null,
            { ValueKind: JsonValueKind.String } value => value.GetString(),
            { } other => throw Wrong(key, "string", other),
        };

        public IReadOnlyList<string> Strings(string key) => Find(key) switch
        {
            null => [],
            { ValueKind: JsonValueKind.Array } value when value.EnumerateArray().All(item => item.ValueKind == JsonValueKind.String) =>
                [.. value.EnumerateArray().Select(item => item.GetString()!)],
            { } other => throw Wrong(key, "list of strings", other),
        };

        public Fields? Object(string key) => Find(key) is { } value ? new Fields(File, value, $"{prefix}{key}.") : null;

        private JsonElement? Find(string key) =>
            element.TryGetProperty(key, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

        private int ToInt(string key, JsonElement value) =>
            value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out var number) ? number : throw Wrong(key, "whole number", value);

        private InputException Wrong(string key, string wanted, JsonElement actual) =>
            Fault(key, $"must be a {wanted}, is {Quoted.Text(actual.GetRawText())}", "correct the configuration");
    }
}
