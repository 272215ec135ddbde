using System.Text.Json;

namespace TinyDpo.Models;

/// <summary>The configuration as Hugging Face's config.json.</summary>
public sealed partial record ModelConfig
{
    /// <summary>Workloads name no greatest length; this is beyond any of theirs.</summary>
    private const int WorkloadMaxPositions = 4096;

    /// <summary>Reads a config.json.</summary>
    /// <exception cref="InputException">It cannot be read, is of an unknown architecture, or asks for what that one does not do here.</exception>
    public static ModelConfig FromJson(string path)
    {
        using var document = JsonInput.ReadFile(path);
        var fields = new ConfigFields(path, document.RootElement);
        var architecture = ArchitectureNames.Read(fields);
        if (fields.Has("quantization_config"))
        {
            throw fields.Fault("quantization_config", "quantised weights are not supported", "give a model without it");
        }
        var config = architecture == Architecture.Gpt2
            ? Gpt2ConfigJson.Read(fields)
            : LlamaConfigJson.Read(fields, architecture, fields.RequiredInt("max_position_embeddings"));
        return (config with { ScalarHead = ArchitectureNames.NamesScalarHead(fields) }).Validated(path);
    }

    /// <summary>Reads the "config" object of a workload: a Llama's keys, without architecture and greatest length.</summary>
    /// <param name="config">The object.</param>
    /// <param name="file">The workload's file, for messages.</param>
    /// <exception cref="InputException">Names the key at fault.</exception>
    public static ModelConfig FromWorkload(JsonElement config, string file)
    {
        var fields = new ConfigFields(file, config);
        return LlamaConfigJson.Read(fields, Architecture.Llama, fields.Int("max_position_embeddings") ?? WorkloadMaxPositions).Validated(file);
    }

    /// <summary>Writes a config.json that transformers reads.</summary>
    /// <param name="path">Written whole or not at all.</param>
    /// <param name="format">The numbers of the weights that it will lie beside.</param>
    /// <exception cref="InputException">The file cannot be written.</exception>
    /// <exception cref="InvalidOperationException">Rotary pairs are interleaved, for which config.json has no word.</exception>
    public void Save(string path, NumberFormat format = NumberFormat.F32)
    {
        if (RotaryInterleaved)
        {
            throw new InvalidOperationException("config.json means halves: permute q_proj and k_proj with RotaryLayout.ToHalf first");
        }
        AtomicFile.Write(path, stream =>
        {
            using var writer = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true });
            var (name, type) = ArchitectureNames.Of(Architecture, ScalarHead);
            writer.WriteStartObject();
            writer.WriteStartArray("architectures");
            writer.WriteStringValue(name);
            writer.WriteEndArray();
            if (ScalarHead)
            {
                WriteOneLabel(writer);
            }
            writer.WriteString("model_type", type);
            writer.WriteString("torch_dtype", format switch
            {
                NumberFormat.F16 => "float16",
                NumberFormat.BF16 => "bfloat16",
                NumberFormat.F64 => "float64",
                _ => "float32",
            });
            writer.WriteNumber("vocab_size", VocabSize);
            if (Architecture == Architecture.Gpt2)
            {
                Gpt2ConfigJson.Write(writer, this);
            }
            else
            {
                LlamaConfigJson.Write(writer, this);
            }
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
}
