using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace TinyDpo.Models;

/// <summary>What the two kinds of byte-pair tokenizer share: added tokens, ids in and out, and saving.</summary>
public abstract class BpeTokenizer : ITokenizer
{
    private readonly AddedTokenSplitter splitter;
    private readonly HashSet<int> specialIds;
    private readonly MergeTable merges;
    private string? fingerprint;

    private protected BpeTokenizer(BpeModel model)
    {
        Model = model;
        merges = new MergeTable(model.Merges);
        splitter = new AddedTokenSplitter(model.AddedTokens.Where(token => !(token.Special && model.SplitSpecialTokens)));
        specialIds = [.. model.AddedTokens.Where(token => token.Special).Select(token => token.Id)];
    }

    public BpeModel Model { get; }

    public int VocabSize => Model.Pieces.Count;

    public int? BosId => Model.BosId;

    public int EosId => Model.EosId;

    public string BosText => Model.BosTokenId is { } bos ? Model.Pieces[bos] ?? "" : "";

    public string EosText => Model.Pieces[EosId] ?? "";

    public string? ChatTemplate => Model.ChatTemplate;

    public string Fingerprint => fingerprint ??= Convert.ToHexStringLower(
        SHA256.HashData([.. TokenizerJsonWriter.Tokenizer(this), .. TokenizerJsonWriter.Configuration(this)]));

    public int[] Encode(string text)
    {
        var ids = new List<int>();
        if (BosId is { } bos)
        {
            ids.Add(bos);
        }
        Append(text, startsSequence: true, ids);
        return [.. ids];
    }

    public int[] EncodeContinuation(string text)
    {
        var ids = new List<int>();
        Append(text, startsSequence: false, ids);
        return [.. ids];
    }

    public virtual string Decode(ReadOnlySpan<int> ids) => DecodeContinuation(ids);

    public string DecodeContinuation(ReadOnlySpan<int> ids)
    {
        var bytes = new List<byte>();
        foreach (var id in ids)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(id);
            // A model may have more ids than its tokenizer (rows added to round the matrix up): those have no text.
            if (id < VocabSize && !specialIds.Contains(id))
            {
                bytes.AddRange(BytesOf(id));
            }
        }
        return Encoding.UTF8.GetString([.. bytes]);
    }

    public void Save(string folder)
    {
        Directory.CreateDirectory(folder);
        AtomicFile.Write(Path.Combine(folder, TokenizerFile.TokenizerName), stream => stream.Write(TokenizerJsonWriter.Tokenizer(this)));
        AtomicFile.Write(Path.Combine(folder, TokenizerFile.ConfigurationName), stream => stream.Write(TokenizerJsonWriter.Configuration(this)));
    }

    /// <summary>Encodes a stretch of text, not empty, that holds no added token.</summary>
    /// <param name="text">The stretch.</param>
    /// <param name="startsSequence">Whether it came through Encode.</param>
    /// <param name="startsText">Whether nothing stands before it in the text, no added token either.</param>
    /// <param name="ids">Where its ids are added.</param>
    private protected abstract void EncodeStretch(ReadOnlySpan<char> text, bool startsSequence, bool startsText, List<int> ids);

    /// <summary>The UTF-8 bytes that an id stands for: empty where it has no piece.</summary>
    private protected abstract ReadOnlySpan<byte> BytesOf(int id);

    /// <summary>Writes tokenizer.json's members normalizer, pre_tokenizer and decoder.</summary>
    internal abstract void WritePipeline(Utf8JsonWriter json);

    internal abstract bool HasByteFallback { get; }

    private protected void AppendMerged(Span<int> row, List<int> ids) => ids.AddRange(row[..merges.Apply(row)]);

    private void Append(string text, bool startsSequence, List<int> ids)
    {
        foreach (var (stretch, token) in splitter.Split(text))
        {
            if (token is null)
            {
                EncodeStretch(text.AsSpan(stretch), startsSequence, startsText: stretch.Start.Value == 0, ids);
            }
            else
            {
                ids.Add(token.Id);
            }
        }
    }
}
