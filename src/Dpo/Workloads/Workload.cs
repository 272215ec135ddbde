using System.Text.Json;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>
/// A WORKLOAD.json: a model's shape and a batch of preference pairs as token ids, with seed, beta and learning rate. What oracle and
/// benchmark run, here and in other implementations.
/// </summary>
public sealed record Workload(string Path, ModelConfig Config, PreferencePair[] Pairs, ulong Seed, double Beta, double LearningRate)
{
    /// <summary>Tokens as other implementations count them: the prompt once with each completion.</summary>
    public int Tokens => Pairs.Sum(static p => (2 * p.Prompt.Length) + p.Chosen.Length + p.Rejected.Length);

    /// <exception cref="InputException">The file is missing or torn, a key is missing, or an id is outside the vocabulary.</exception>
    public static Workload Read(string path)
    {
        using var json = JsonInput.ReadFile(path);
        var root = json.RootElement;
        var config = ModelConfig.FromWorkload(Property(root, "config", JsonValueKind.Object, path), path);
        var pairs = Property(root, "pairs", JsonValueKind.Array, path).EnumerateArray()
            .Select((pair, i) => new PreferencePair(i + 1, Ids(pair, "prompt", i), Ids(pair, "chosen", i), Ids(pair, "rejected", i))).ToArray();
        if (pairs.Length == 0)
        {
            throw new InputException(path, "pairs", "is empty", "give at least one pair");
        }
        return new Workload(path, config, pairs, (ulong)Number(root, "seed", 0), Number(root, "beta", 0.1), Number(root, "learning_rate", 1e-4));

        int[] Ids(JsonElement pair, string key, int index)
        {
            var place = $"pairs[{index}]";
            if (pair.ValueKind != JsonValueKind.Object)
            {
                throw new InputException(path, place, "is not an object", "give {\"prompt\": [...], \"chosen\": [...], \"rejected\": [...]}");
            }
            var ids = Property(pair, key, JsonValueKind.Array, path, place).EnumerateArray()
                .Select(id => id.TryGetInt32(out var value) && value >= 0 && value < config.VocabSize ? value : -1).ToArray();
            return ids.Length > 0 && !ids.Contains(-1)
                ? ids
                : throw new InputException(path, $"{place}.{key}", $"is empty or holds something else than ids below {config.VocabSize}", "correct the ids");
        }
    }

    private static JsonElement Property(JsonElement parent, string key, JsonValueKind kind, string path, string? place = null) =>
        parent.ValueKind == JsonValueKind.Object && parent.TryGetProperty(key, out var value) && value.ValueKind == kind
            ? value
            : throw new InputException(path, place, $"'{key}' is missing or no {kind.ToString().ToLowerInvariant()}", "see the README for the form of a workload");

    private static double Number(JsonElement root, string key, double otherwise) =>
        root.TryGetProperty(key, out var value) && value.ValueKind == JsonValueKind.Number ? value.GetDouble() : otherwise;
}
