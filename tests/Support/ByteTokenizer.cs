using System.Text;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>
/// One id a UTF-8 byte, so that a test can read ids as text. Id 256 begins a sequence (unless it has none), and 257 ends one; the text of
/// the end-of-sequence marker is encoded as its id. A chat template writes that marker, or another text.
/// </summary>
internal sealed class ByteTokenizer(bool hasBos = true, string endMarker = "</s>", string? eosText = null) : ITokenizer
{
    public const int Bos = 256, Eos = 257;

    public int VocabSize => 258;

    public int? BosId => hasBos ? Bos : null;

    public int EosId => Eos;

    public string BosText => hasBos ? "<s>" : "";

    public string EosText => eosText ?? endMarker;

    public string Fingerprint => $"bytes {hasBos} {endMarker}";

    public int[] Encode(string text) => hasBos ? [Bos, .. EncodeContinuation(text)] : EncodeContinuation(text);

    public int[] EncodeContinuation(string text)
    {
        var ids = new List<int>();
        foreach (var (part, index) in text.Split(endMarker).Select((part, index) => (part, index)))
        {
            if (index > 0)
            {
                ids.Add(Eos);
            }
            ids.AddRange(Encoding.UTF8.GetBytes(part).Select(b => (int)b));
        }
        return [.. ids];
    }

    public string Decode(ReadOnlySpan<int> ids) => DecodeContinuation(ids);

    public string DecodeContinuation(ReadOnlySpan<int> ids) =>
        Encoding.UTF8.GetString(ids.ToArray().Where(id => id < 256).Select(id => (byte)id).ToArray());

    public void Save(string folder) => throw new NotSupportedException();
}
