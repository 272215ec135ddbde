using System.Collections.Concurrent;
using System.Text;
using System.Text.Json;

namespace TinyDpo.Models;

/// <summary>
/// Byte-level byte-pair encoding (Radford et al. 2019, GPT-2): the text is cut into words, and within each word its UTF-8 bytes are
/// merged. Pieces are written in the <see cref="ByteAlphabet"/>.
/// </summary>
public sealed class ByteLevelTokenizer : BpeTokenizer
{
    private const int CachedWords = 1 << 16;
    private const int CachedWordLength = 64;

    private readonly byte[][] bytes;
    private readonly int[] byteIds = new int[256];
    private readonly ConcurrentDictionary<string, int[]> words = new();
    private readonly Dictionary<string, int>? wholeWords;
    private int wordCount;

    /// <exception cref="InputException">The vocabulary lacks a byte and has no unknown token to stand for it.</exception>
    public ByteLevelTokenizer(BpeModel model) : base(model)
    {
        bytes = new byte[VocabSize][];
        Array.Fill(byteIds, model.UnkId ?? -1);
        var added = model.AddedTokens.ToDictionary(token => token.Id, token => token.Content);
        for (var id = 0; id < VocabSize; id++)
        {
            var piece = model.Pieces[id] ?? "";
            var isAdded = added.ContainsKey(id);
            bytes[id] = isAdded ? Encoding.UTF8.GetBytes(piece) : ByteAlphabet.Bytes(piece);
            if (!isAdded && piece.Length == 1 && bytes[id].Length == 1)
            {
                byteIds[bytes[id][0]] = id;
            }
        }
        if (model.IgnoreMerges)
        {
            wholeWords = Enumerable.Range(0, VocabSize).Where(id => !added.ContainsKey(id) && model.Pieces[id] is not null)
                .ToDictionary(id => model.Pieces[id]!);
        }
        if (Array.IndexOf(byteIds, -1) is >= 0 and var missing)
        {
            throw new InputException(model.Source, null,
                $"the vocabulary lacks the byte 0x{missing:X2}, written {ByteAlphabet.Characters[missing]}, and there is no unk_token",
                "give the vocabulary all 256 bytes or an unk_token");
        }
    }

    internal override bool HasByteFallback => false;

    private protected override void EncodeStretch(ReadOnlySpan<char> text, bool startsSequence, bool startsText, List<int> ids)
    {
        if (Model.NormalizesToFormC)
        {
            text = FormC.Normalize(text.ToString());
        }
        var cache = words.GetAlternateLookup<ReadOnlySpan<char>>();
        while (!text.IsEmpty)
        {
            var word = text[..Model.Words.FirstLength(text)];
            text = text[word.Length..];
            if (cache.TryGetValue(word, out var known))
            {
                ids.AddRange(known);
                continue;
            }
            var from = ids.Count;
            EncodeWord(word, ids);
            if (word.Length <= CachedWordLength && Volatile.Read(ref wordCount) < CachedWords
                && cache.TryAdd(word, [.. ids[from..]]))
            {
                Interlocked.Increment(ref wordCount);
            }
        }
    }

    private protected override ReadOnlySpan<byte> BytesOf(int id) => bytes[id];

    internal override void WritePipeline(Utf8JsonWriter json)
    {
        const string byteLevel = """{ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true }""";
        json.WritePropertyName("normalizer");
        json.WriteRawValue(Model.NormalizesToFormC ? """{ "type": "NFC" }""" : "null");
        json.WritePropertyName("pre_tokenizer");
        if (Model.Words == WordPattern.Gpt2)
        {
            json.WriteRawValue(byteLevel);
        }
        else if (Model.Words == WordPattern.DigitsThenGpt2)
        {
            json.WriteRawValue($$"""{ "type": "Sequence", "pretokenizers": [{ "type": "Digits", "individual_digits": true }, {{byteLevel}}] }""");
        }
        else
        {
            var expression = JsonSerializer.Serialize(Model.Words.Expression);
            var split = $$"""{ "type": "Split", "pattern": { "Regex": {{expression}} }, "behavior": "Isolated", "invert": false }""";
            json.WriteRawValue($$"""{ "type": "Sequence", "pretokenizers": [{{split}}, {{byteLevel.Replace("\"use_regex\": true", "\"use_regex\": false")}}] }""");
        }
        json.WritePropertyName("decoder");
        json.WriteRawValue(byteLevel);
    }

    private void EncodeWord(ReadOnlySpan<char> word, List<int> ids)
    {
        var row = new int[Encoding.UTF8.GetByteCount(word)];
        var utf8 = new byte[row.Length];
        Encoding.UTF8.GetBytes(word, utf8);
        for (var i = 0; i < row.Length; i++)
        {
            row[i] = byteIds[utf8[i]];
        }
        if (wholeWords is not null && wholeWords.TryGetValue(ByteAlphabet.Piece(utf8), out var whole))
        {
            ids.Add(whole);
            return;
        }
        AppendMerged(row, ids);
    }
}
