using System.Text.Json;

namespace TinyDpo.Models;

/// <summary>Adapters in PEFT's layout: a folder with adapter_config.json and adapter_model.safetensors.</summary>
internal static class LoraFile
{
    public const string ConfigName = "adapter_config.json";
    public const string WeightsName = "adapter_model.safetensors";
    private const string PickledName = "adapter_model.bin";

    // What PEFT can do to an adapter and we do not; each is harmless with the value that it has by default.
    private static readonly string[] s_flags = ["use_dora", "use_rslora", "lora_bias", "use_qalora"];
    private static readonly string[] s_objects =
    [
        "rank_pattern", "alpha_pattern", "modules_to_save", "layers_to_transform", "layer_replication", "trainable_token_indices", "target_parameters",
        "loftq_config", "arrow_config",
    ];

    // PEFT's first values of A and B that leave the weights beside them as they are; pissa, olora, corda and loftq take B A off them.
    private static readonly string[] s_initialisations = ["gaussian", "eva", "orthogonal"];

    public static bool IsAdapter(string folder) => File.Exists(Path.Combine(folder, ConfigName));

    /// <summary>The path of the model that an adapter belongs to: as the file has it, or else beside the adapter's folder.</summary>
    /// <exception cref="InputException">There is no such folder.</exception>
    public static string BaseOf(string folder)
    {
        var (file, fields, json) = Open(folder);
        using (json)
        {
            var path = fields.String("base_model_name_or_path") ?? throw fields.Missing("base_model_name_or_path");
            var found = new[] { path, Path.Combine(folder, path) }.FirstOrDefault(Directory.Exists);
            return found is not null && !IsAdapter(found)
                ? found
                : throw new InputException(
                    file, "base_model_name_or_path", $"{Quoted.Name(path)} is no folder with a model", "write the path of the model's folder there");
        }
    }

    /// <summary>Puts a folder's adapters beside the weights of their model.</summary>
    /// <exception cref="InputException">The adapters are of a kind that is not supported, damaged, or not of this model.</exception>
    public static void Attach(Transformer model, string folder)
    {
        var options = ReadOptions(folder);
        SafetensorsShards.RequireNoPickle(folder, WeightsName, PickledName);
        using var weights = SafetensorsShards.Open(Path.Combine(folder, WeightsName));
        ModelFile.RequireStored(LoraAdapters.ShapesOf(model, options), weights, prefix: "", static _ => false); // a configuration may claim any rank
        LoraAdapters.Attach(model, options, seed: 0);
        ReadWeights(model, weights);
    }

    public static void ReadWeights(Transformer model, SafetensorsShards weights) =>
        ModelFile.ReadStored(model.Adapters!.Stored(), weights, prefix: "", static _ => false);

    public static void Save(string folder, Transformer model, NumberFormat format)
    {
        WriteWeights(Path.Combine(folder, WeightsName), model, format);
        var options = model.Adapters!.Options;
        AtomicFile.Write(Path.Combine(folder, ConfigName), stream =>
        {
            using var writer = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true });
            writer.WriteStartObject();
            writer.WriteString("peft_type", "LORA");
            writer.WriteString("task_type", "CAUSAL_LM");
            writer.WriteString("base_model_name_or_path", model.Source is null ? null : Path.GetFullPath(model.Source));
            writer.WriteNumber("r", options.Rank);
            writer.WritePropertyName("lora_alpha");
            writer.WriteNumberValue(options.Alpha);
            writer.WriteNumber("lora_dropout", 0);
            writer.WriteStartArray("target_modules");
            foreach (var target in options.Targets)
            {
                writer.WriteStringValue(target);
            }
            writer.WriteEndArray();
            writer.WriteString("bias", "none");
            writer.WriteBoolean("fan_in_fan_out", model.Config.Architecture == Architecture.Gpt2);
            writer.WriteBoolean("inference_mode", true);
            writer.WriteNull("modules_to_save");
            writer.WriteEndObject();
        });
    }

    public static void WriteWeights(string path, Transformer model, NumberFormat format) =>
        SafetensorsWriter.Write(path, ModelFile.Stored(model.Adapters!.Stored(), static (_, tensor) => tensor.ToArray()), format: format);

    private static LoraOptions ReadOptions(string folder)
    {
        var (_, fields, json) = Open(folder);
        using (json)
        {
            if (fields.String("peft_type") is { } type && type != "LORA")
            {
                throw fields.Fault("peft_type", $"{Quoted.Name(type)} is not supported", "the one supported is LORA");
            }
            if (fields.String("bias") is { } bias && bias != "none")
            {
                throw fields.Fault("bias", $"{Quoted.Name(bias)} is not supported", "the one supported is none");
            }
            if (fields.String("task_type") is { } task && task != "CAUSAL_LM")
            {
                throw fields.Fault("task_type", $"{Quoted.Name(task)} is not supported", "the one supported is CAUSAL_LM");
            }
            if (fields.IsString("init_lora_weights") && fields.String("init_lora_weights") is { } start && !s_initialisations.Contains(start))
            {
                throw fields.Fault(
                    "init_lora_weights", $"{Quoted.Name(start)} is not supported: it changes the model's own weights",
                    "save the adapter as plain LoRA (PEFT: path_initial_model_for_weight_conversion)");
            }
            if (fields.Has("alora_invocation_tokens"))
            {
                throw fields.Fault("alora_invocation_tokens", "is not supported", "give an adapter without it");
            }
            if (s_flags.FirstOrDefault(key => fields.Has(key) && fields.Bool(key) == true) is { } flag)
            {
                throw fields.Fault(flag, "is not supported", "give an adapter without it");
            }
            if (s_objects.FirstOrDefault(key => !fields.IsEmpty(key)) is { } pattern)
            {
                throw fields.Fault(pattern, "is not supported", "give an adapter without it");
            }
            var (rank, alpha) = (fields.RequiredInt("r"), fields.Double("lora_alpha") ?? throw fields.Missing("lora_alpha"));
            var targets = fields.Strings("target_modules");
            return rank is >= 1 and <= 1 << 16 && Math.Abs(alpha) <= 1e6 && targets.Count > 0
                ? new LoraOptions { Rank = rank, Alpha = alpha, Targets = targets }
                : throw fields.Fault("r", $"{rank} with lora_alpha {alpha} and {targets.Count} target_modules describes no adapter", "correct the configuration");
        }
    }

    private static (string File, ConfigFields Fields, JsonDocument Json) Open(string folder)
    {
        var file = Path.Combine(folder, ConfigName);
        var json = JsonInput.ReadFile(file);
        try
        {
            return (file, new ConfigFields(file, json.RootElement), json);
        }
        catch
        {
            json.Dispose();
            throw;
        }
    }
}
