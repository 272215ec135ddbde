namespace TinyDpo.Models;

/// <summary>The decoders that can be run, by the class that each is in transformers.</summary>
public enum Architecture
{
    /// <summary>LlamaForCausalLM (Touvron et al. 2023): RMSNorm, rotary positions, grouped heads, SwiGLU, no biases.</summary>
    Llama,

    /// <summary>MistralForCausalLM (Jiang et al. 2023): Llama, trained with a sliding window of attention.</summary>
    Mistral,

    /// <summary>Qwen2ForCausalLM (Yang et al. 2024): Llama, with biases on queries, keys and values.</summary>
    Qwen2,

    /// <summary>GPT2LMHeadModel (Radford et al. 2019): LayerNorm, learned positions, GELU, biases everywhere.</summary>
    Gpt2,
}

/// <summary>The names that config.json has for each <see cref="Architecture"/>.</summary>
internal static class ArchitectureNames
{
    private static readonly (Architecture Architecture, string Class, string ModelType)[] s_names =
    [
        (Architecture.Llama, "LlamaForCausalLM", "llama"),
        (Architecture.Mistral, "MistralForCausalLM", "mistral"),
        (Architecture.Qwen2, "Qwen2ForCausalLM", "qwen2"),
        (Architecture.Gpt2, "GPT2LMHeadModel", "gpt2"),
    ];

    // The same weights without a word of a head, which GPT-2 ties to its embedding.
    private const string Gpt2WithoutHead = "GPT2Model";
    private const string ScalarEnding = "ForSequenceClassification";

    /// <param name="scalarHead">Whether the class is the one with a scalar head, as GPT2ForSequenceClassification.</param>
    public static (string Class, string ModelType) Of(Architecture architecture, bool scalarHead)
    {
        var (_, name, type) = s_names.First(n => n.Architecture == architecture);
        return (scalarHead ? WithScalarHead(name) : name, type);
    }

    /// <summary>Whether a configuration names a class with a scalar head.</summary>
    public static bool NamesScalarHead(ConfigFields fields) =>
        fields.Strings("architectures").Any(static name => name.EndsWith(ScalarEnding, StringComparison.Ordinal));

    /// <summary>The architecture that a configuration names, by its class or else by its model_type.</summary>
    /// <exception cref="InputException">It names none, one that is not supported, or two.</exception>
    public static Architecture Read(ConfigFields fields)
    {
        var remedy = "the supported ones are " + string.Join(", ", s_names.Select(static n => $"{n.Class} (model_type {n.ModelType})"));
        var named = fields.Strings("architectures");
        var type = fields.String("model_type");
        if (named.Count == 0 && type is null)
        {
            throw fields.Fault("architectures", "is missing, and so is model_type", remedy);
        }
        Architecture? found = null;
        foreach (var name in named)
        {
            found = s_names.Where(n => n.Class == (name == Gpt2WithoutHead ? "GPT2LMHeadModel" : name) || WithScalarHead(n.Class) == name).Select(static n => (Architecture?)n.Architecture)
                .FirstOrDefault() ?? throw fields.Fault("architectures", $"{Quoted.Name(name)} is not supported", remedy);
        }
        if (type is null)
        {
            return found!.Value;
        }
        var byType = s_names.Where(n => n.ModelType == type).Select(static n => (Architecture?)n.Architecture).FirstOrDefault()
            ?? throw fields.Fault("model_type", $"{Quoted.Name(type)} is not supported", remedy);
        return found is null || found == byType
            ? byType
            : throw fields.Fault("model_type", $"{Quoted.Name(type)} is not that of {Quoted.Name(named[^1])}", "correct the one that is wrong");
    }

    private static string WithScalarHead(string name) =>
        name.Replace("ForCausalLM", ScalarEnding, StringComparison.Ordinal).Replace("LMHeadModel", ScalarEnding, StringComparison.Ordinal);
}
