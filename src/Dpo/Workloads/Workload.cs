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
        foreach (var pair in pairs)
        {
            var positions = PackedBatch.LongestPosition(new PromptGroup(pair.Prompt, [pair.Chosen, pair.Rejected]));
            if (positions > config.MaxPositions)
            {
                throw new InputException(
                    path, $"pairs[{pair.Line - 1}]", $"needs {positions} positions, but the model has {config.MaxPositions}",
                    "raise max_position_embeddings, or shorten the pair");
            }
        }
        return new Workload(
            path, config, pairs,
            (ulong)Number("seed", 0, static v => v is >= 0 and <= 1L << 53 && v == Math.Floor(v), "a whole number from 0 to 2^53"),
            Number("beta", 0.1, static v => v is > 0 and <= 1e6, "a number above 0, at most 1000000"),
            Number("learning_rate", 1e-4, static v => v is > 0 and <= 1e3, "a number above 0, at most 1000"));

        double Number(string key, double otherwise, Func<double, bool> allows, string what)
        {
            if (!root.TryGetProperty(key, out var value))
            {
                return otherwise;
            }
            return value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var number) && allows(number)
                ? number
                : throw new InputException(path, key, $"is {Quoted.Text(value.GetRawText())}", $"give {what}");
        }

        int[] Ids(JsonElement pair, string key, int index)
        {
            var place = $"pairs[{index}]";
            if (pair.ValueKind != JsonValueKind.Object)
            {
                throw new InputException(path, place, "is not an object", "give {\"prompt\": [...], \"chosen\": [...], \"rejected\": [...]}");
            }
            var ids = Property(pair, key, JsonValueKind.Array, path, place).EnumerateArray()
                .Select(id => id.ValueKind == JsonValueKind.Number && id.TryGetInt32(out var value) && value >= 0 && value < config.VocabSize ? value : -1).ToArray();
            return ids.Length > 0 && !ids.Contains(-1)
                ? ids
                : throw new InputException(path, $"{place}.{key}", $"is empty or holds something else than ids below {config.VocabSize}", "correct the ids");
        }
    }

    private static JsonElement Property(JsonElement parent, string key, JsonValueKind kind, string path, string? place = null) =>
        parent.ValueKind == JsonValueKind.Object && parent.TryGetProperty(key, out var value) && value.ValueKind == kind
            ? value
            : throw new InputException(path, place, $"'{key}' is missing or no {kind.ToString().ToLowerInvariant()}", "give {\"config\": {...}, \"pairs\": [{\"prompt\": [...], \"chosen\": [...], \"rejected\": [...]}]}");
}
