namespace TinyDpo.Tests;

/// <summary>A WORKLOAD.json of a model with 20 ids and 8 hidden units: two pairs, 16 tokens as peers count them, 12 as they are packed.</summary>
internal static class TinyWorkload
{
    private const string Config = """
        "config": {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
        "intermediate_size": 12, "rope_theta": 10000.0, "rms_norm_eps": 1e-05, "tie_word_embeddings": true}
        """;

    private const string Pairs = """
        "pairs": [{"prompt": [1, 2, 3], "chosen": [4, 5], "rejected": [6]}, {"prompt": [7], "chosen": [8, 9], "rejected": [10, 11, 12]}]
        """;

    public static string Json => $"{{{Config}, {Pairs}}}";

    /// <summary>The same, but for one property in JSON.</summary>
    public static string With(string property) =>
        property.StartsWith("\"pairs\"", StringComparison.Ordinal) ? $"{{{Config}, {property}}}" : $"{{{Config}, {Pairs}, {property}}}";
}
