using System.Text.Json;

namespace TinyDpo.Models;

/// <summary>
/// Rotary positions in config.json: rope_theta and rope_scaling, or both in rope_parameters, where transformers 5 moved them.
/// </summary>
internal static class RopeConfigJson
{
    private const string NestedKey = "rope_parameters";
    private const string ScalingKey = "rope_scaling";
    private const string DefaultType = "default", LinearType = "linear", Llama3Type = "llama3";

    public static double ReadTheta(ConfigFields fields)
    {
        var top = fields.Double("rope_theta");
        var nested = fields.Object(NestedKey)?.Double("rope_theta");
        if (top is not null && nested is not null && top != nested)
        {
            throw fields.Fault("rope_theta", $"is {top}, but rope_parameters.rope_theta is {nested}", "remove the wrong one");
        }
        return nested ?? top ?? ModelConfig.DefaultRopeTheta;
    }

    public static RopeScaling? ReadScaling(ConfigFields fields)
    {
        var (old, current) = (Read(fields, ScalingKey, "(unnamed)"), Read(fields, NestedKey, DefaultType));
        return old is null || current is null || old == current
            ? current ?? old
            : throw fields.Fault(ScalingKey, "says something else than rope_parameters", "remove the wrong one");
    }

    public static void WriteScaling(Utf8JsonWriter writer, RopeScaling? scaling)
    {
        if (scaling is null)
        {
            return;
        }
        writer.WriteStartObject(ScalingKey);
        writer.WriteString("rope_type", scaling is Llama3RopeScaling ? Llama3Type : LinearType);
        LlamaConfigJson.WriteFloat(writer, "factor", scaling.Factor);
        if (scaling is Llama3RopeScaling llama3)
        {
            LlamaConfigJson.WriteFloat(writer, "low_freq_factor", llama3.LowFrequencyFactor);
            LlamaConfigJson.WriteFloat(writer, "high_freq_factor", llama3.HighFrequencyFactor);
            writer.WriteNumber("original_max_position_embeddings", llama3.OriginalContext);
        }
        writer.WriteEndObject();
    }

    private static RopeScaling? Read(ConfigFields fields, string key, string unnamed)
    {
        if (fields.Object(key) is not { } rope)
        {
            return null;
        }
        var kind = rope.String("rope_type") ?? rope.String("type") ?? unnamed;
        if (kind is not (DefaultType or LinearType or Llama3Type) || rope.Double("partial_rotary_factor") is not (null or 1))
        {
            throw fields.Fault(
                key, $"rotary positions of type {Quoted.Name(kind)} with this scaling are not supported",
                $"the types supported are {DefaultType}, {LinearType} and {Llama3Type}");
        }
        if (kind == DefaultType)
        {
            return null;
        }
        var factor = Number("factor");
        Require(factor is >= 1 and <= 1e6, "factor", $"must lie in [1, 1e6], is {factor}");
        if (kind == LinearType)
        {
            return new LinearRopeScaling(factor);
        }
        var (low, high, original) = (Number("low_freq_factor"), Number("high_freq_factor"), rope.RequiredInt("original_max_position_embeddings"));
        Require(low > 0 && high > low && high <= 1e6, "high_freq_factor", $"must exceed low_freq_factor, and that 0; they are {high} and {low}");
        Require(original > 0, "original_max_position_embeddings", $"must be at least 1, is {original}");
        return new Llama3RopeScaling(factor, low, high, original);

        double Number(string name) => rope.Double(name) ?? throw rope.Missing(name);

        void Require(bool holds, string name, string problem)
        {
            if (!holds)
            {
                throw rope.Fault(name, problem, "correct the configuration");
            }
        }
    }
}
