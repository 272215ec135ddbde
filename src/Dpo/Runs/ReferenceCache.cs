using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>
/// The reference's log-probs on disk, so that a second run on the same data does not compute them again. The key is a hash of weights,
/// tokenizer and token ids: any change of them makes the file worthless, and it is computed anew.
/// </summary>
public static class ReferenceCache
{
    /// <summary>Reads the log-probs from <paramref name="path"/> if its key fits, else computes and writes them.</summary>
    /// <param name="fingerprint">Of the reference's weights: <see cref="ModelFile.Fingerprint"/>.</param>
    public static ReferenceLogProbs LoadOrCompute(
        string path, Transformer reference, string fingerprint, ITokenizer tokenizer, IReadOnlyList<PreferencePair> pairs, IRunLog log,
        int tokenBudget = SftTask.DefaultTokenBudget, CancellationToken cancellation = default)
    {
        var key = Key(fingerprint, tokenizer.Fingerprint, pairs);
        if (TryRead(path, key, pairs.Count) is { } cached)
        {
            log.Note($"the reference's log-probs come from {path}");
            return cached;
        }
        log.Stage("the reference's log-probs", pairs.Count);
        var computed = ReferenceLogProbs.Compute(reference, pairs, tokenBudget, n => log.Advance(n), cancellation);
        if (!computed.Chosen.Concat(computed.Rejected).All(Real.IsFinite))
        {
            return computed; // JSON holds no NaN, and nobody wants these again
        }
        var text = new StringBuilder().Append(JsonSerializer.Serialize(new Header(key))).Append('\n');
        for (var i = 0; i < pairs.Count; i++)
        {
            text.Append(JsonSerializer.Serialize(new Row(computed.Chosen[i], computed.Rejected[i]))).Append('\n');
        }
        AtomicFile.WriteText(path, text.ToString());
        return computed;
    }

    /// <summary>SHA-256, in hex, over all that the log-probs depend on.</summary>
    public static string Key(string weights, string tokenizer, IReadOnlyList<PreferencePair> pairs)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes($"{weights}\n{tokenizer}\n{sizeof(Real)}\n"));
        foreach (var pair in pairs)
        {
            foreach (var ids in new[] { pair.Prompt, pair.Chosen, pair.Rejected })
            {
                hash.AppendData(BitConverter.GetBytes(ids.Length));
                hash.AppendData(System.Runtime.InteropServices.MemoryMarshal.AsBytes(ids.AsSpan()));
            }
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static ReferenceLogProbs? TryRead(string path, string key, int count)
    {
        if (!File.Exists(path))
        {
            return null;
        }
        try
        {
            var lines = File.ReadAllLines(path);
            if (lines.Length != count + 1 || JsonSerializer.Deserialize<Header>(lines[0])?.Key != key)
            {
                return null;
            }
            var rows = lines.Skip(1).Select(static line => JsonSerializer.Deserialize<Row>(line)!).ToList();
            return new ReferenceLogProbs([.. rows.Select(static r => r.Chosen)], [.. rows.Select(static r => r.Rejected)]);
        }
        catch (Exception e) when (e is JsonException or IOException)
        {
            return null; // a cache that cannot be read is no cache: it is written again
        }
    }

    private sealed record Header(string Key);

    private sealed record Row(Real Chosen, Real Rejected);
}
