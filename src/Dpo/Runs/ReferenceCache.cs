using System.Security.Cryptography;
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
        AtomicFile.Write(path, stream =>
        {
            using var writer = new StreamWriter(stream, leaveOpen: true) { NewLine = "\n" };
            writer.WriteLine(JsonSerializer.Serialize(new Header(key, HashOf(Rows(computed)))));
            foreach (var row in Rows(computed))
            {
                writer.WriteLine(row);
            }
        });
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
            var lines = TextLines.Read(path).Select(static l => l.Text);
            if (JsonSerializer.Deserialize<Header>(lines.FirstOrDefault(""), s_strict) is not { } header || header.Key != key
                || header.Rows != HashOf(lines.Skip(1)))
            {
                return null;
            }
            var (chosen, rejected) = (new List<Real>(count), new List<Real>(count));
            foreach (var line in lines.Skip(1))
            {
                if (JsonSerializer.Deserialize<Row>(line, s_strict) is not { } row)
                {
                    return null;
                }
                chosen.Add(row.Chosen);
                rejected.Add(row.Rejected);
            }
            return chosen.Count == count ? new ReferenceLogProbs([.. chosen], [.. rejected]) : null;
        }
        catch (Exception e) when (e is JsonException or InputException)
        {
            return null; // a cache that cannot be read is no cache: it is written again
        }
    }

    // A line at a time: the text of all would take many times the memory of the numbers.
    private static IEnumerable<string> Rows(ReferenceLogProbs logProbs) =>
        logProbs.Chosen.Zip(logProbs.Rejected, static (chosen, rejected) => JsonSerializer.Serialize(new Row(chosen, rejected)));

    private static string HashOf(IEnumerable<string> lines)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var line in lines)
        {
            hash.AppendData(Encoding.UTF8.GetBytes(line + "\n"));
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private sealed record Header(string Key, string Rows);

    private sealed record Row(Real Chosen, Real Rejected);
}
