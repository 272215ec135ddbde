using System.Text;
using System.Text.Json;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>
/// The reference's log-probs on disk, so that a second run on the same data does not compute them again. The key is a hash of weights,
/// tokenizer and token ids: any change of them makes the file worthless, and it is computed anew. So does a change of the numbers
/// themselves, whose hash stands beside the key.
/// </summary>
public static class ReferenceCache
{
    /// <summary>Its name in a run's folder.</summary>
    public const string FileName = "reference-logps.jsonl";

    private static readonly JsonSerializerOptions s_strict = new() { RespectRequiredConstructorParameters = true };

    /// <summary>Reads the log-probs from <paramref name="path"/> if its key fits, else computes and writes them.</summary>
    /// <param name="path">Null to compute alone.</param>
    /// <param name="fingerprint">Of the reference's weights: <see cref="ModelFile.Fingerprint"/>.</param>
    /// <param name="tailWeight">See <see cref="IPreferenceLoss.TailWeight"/>.</param>
    public static ReferenceLogProbs LoadOrCompute(
        string? path, Transformer reference, string fingerprint, ITokenizer tokenizer, IReadOnlyList<PreferencePair> pairs, IRunLog log,
        int tokenBudget = SftTask.DefaultTokenBudget, CancellationToken cancellation = default, double tailWeight = 1)
    {
        var key = Key(fingerprint, tokenizer.Fingerprint, pairs) + (tailWeight == 1 ? "" : $" tail {tailWeight:R}");
        if (path is not null && TryRead(path, key, pairs.Count) is { } cached)
        {
            log.Note($"the reference's log-probs come from {path}");
            return cached;
        }
        log.Stage("the reference's log-probs", pairs.Count);
        var computed = ReferenceLogProbs.Compute(reference, pairs, tokenBudget, n => log.Advance(n), cancellation, tailWeight: tailWeight);
        if (path is null || !computed.Chosen.Concat(computed.Rejected).All(Real.IsFinite))
        {
            return computed; // JSON holds no NaN, and nobody wants these again
        }
        var text = new StringBuilder();
        for (var i = 0; i < pairs.Count; i++)
        {
            text.Append(JsonSerializer.Serialize(new Row(computed.Chosen[i], computed.Rejected[i]))).Append('\n');
        }
        var rows = text.ToString();
        AtomicFile.WriteText(path, JsonSerializer.Serialize(new Header(key, TokenHash.Of(rows))) + "\n" + rows);
        return computed;
    }

    /// <summary>SHA-256, in hex, over all that the log-probs depend on.</summary>
    public static string Key(string weights, string tokenizer, IReadOnlyList<PreferencePair> pairs) =>
        TokenHash.Of($"{weights}\n{tokenizer}\n{sizeof(Real)}\n", pairs.SelectMany(static p => new[] { p.Prompt, p.Chosen, p.Rejected }));

    private static ReferenceLogProbs? TryRead(string path, string key, int count)
    {
        if (!File.Exists(path))
        {
            return null;
        }
        try
        {
            var text = File.ReadAllText(path);
            var start = text.IndexOf('\n') + 1;
            if (JsonSerializer.Deserialize<Header>(text[..start], s_strict) is not { } header || header.Key != key
                || header.Rows != TokenHash.Of(text[start..]))
            {
                return null;
            }
            var rows = text[start..].Split('\n', StringSplitOptions.RemoveEmptyEntries)
                .Select(static line => JsonSerializer.Deserialize<Row>(line, s_strict)).ToList();
            return rows.Count == count && !rows.Contains(null)
                ? new ReferenceLogProbs([.. rows.Select(static r => r!.Chosen)], [.. rows.Select(static r => r!.Rejected)])
                : null;
        }
        catch (Exception e) when (e is JsonException or IOException or UnauthorizedAccessException)
        {
            return null; // a cache that cannot be read is no cache: it is written again
        }
    }

    private sealed record Header(string Key, string Rows);

    private sealed record Row(Real Chosen, Real Rejected);
}
