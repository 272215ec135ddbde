using System.Globalization;
using System.Text;
using System.Text.Json;

namespace TinyDpo.Models;

/// <summary>
/// Byte-pair encoding over code points, as SentencePiece trains it and Llama 2 uses it: a space is a character like any other, and a
/// code point without a piece becomes its UTF-8 bytes, each a piece "&lt;0xNN&gt;".
/// </summary>
public sealed class ByteFallbackTokenizer : BpeTokenizer
{
    private readonly byte[][] bytes;
    private readonly int[] byteIds = new int[256];
    private readonly Dictionary<string, int> pieceIds = [];

    /// <param name="model">The pieces, in which <paramref name="space"/> stands for a space.</param>
    /// <param name="space">'▁' (U+2581) in Hugging Face's files, where it stands for a space in a text too; ' ' in llama2.c's.</param>
    /// <param name="prefix">Where a space is put before a text that is not empty.</param>
    /// <param name="splitsAtSpaces">Whether nothing merges across the beginning of a space: Metaspace with split.</param>
    /// <exception cref="InputException">The vocabulary lacks one of the 256 byte pieces.</exception>
    public ByteFallbackTokenizer(BpeModel model, char space, SpacePrefix prefix, bool splitsAtSpaces = false) : base(model)
    {
        Space = space;
        Prefix = prefix;
        SplitsAtSpaces = splitsAtSpaces;
        bytes = new byte[VocabSize][];
        Array.Fill(byteIds, -1);
        for (var id = 0; id < VocabSize; id++)
        {
            var piece = model.Pieces[id] ?? "";
            pieceIds[piece] = id;
            if (ByteOf(piece) is { } value)
            {
                byteIds[value] = id;
                bytes[id] = [value];
            }
            else
            {
                bytes[id] = Encoding.UTF8.GetBytes(piece.Replace(space, ' '));
            }
        }
        foreach (var token in model.AddedTokens)
        {
            bytes[token.Id] = Encoding.UTF8.GetBytes(token.Content);
        }
        if (Array.IndexOf(byteIds, -1) is >= 0 and var missing)
        {
            throw new InputException(model.Source, null, $"the vocabulary lacks the byte piece {ByteName(missing)}",
                "a byte-fallback tokenizer needs all 256 of them");
        }
    }

    public char Space { get; }

    public SpacePrefix Prefix { get; }

    public bool SplitsAtSpaces { get; }

    internal override bool HasByteFallback => true;

    /// <summary>The piece of a byte: "&lt;0x41&gt;".</summary>
    public static string ByteName(int value) => $"<0x{value:X2}>";

    public override string Decode(ReadOnlySpan<int> ids)
    {
        var text = DecodeContinuation(ids);
        return Prefix != SpacePrefix.Never && text.StartsWith(' ') ? text[1..] : text;
    }

    private protected override void EncodeStretch(ReadOnlySpan<char> text, bool startsSequence, bool startsText, List<int> ids)
    {
        // A code point is at most four bytes, but never more than three a UTF-16 unit.
        var row = new int[3 * (text.Length + 1)];
        var length = 0;
        var hasSpace = text[0] == ' ' || text[0] == Space;
        if (startsSequence && Prefix switch
        {
            SpacePrefix.Always => true,
            SpacePrefix.UnlessThere => !hasSpace,
            SpacePrefix.FirstUnlessThere => startsText && !hasSpace,
            _ => false,
        })
        {
            Add(new Rune(Space), row, ref length);
        }
        var first = true;
        foreach (var rune in text.EnumerateRunes())
        {
            var isSpace = rune.Value == ' ' || rune.Value == Space;
            if (SplitsAtSpaces && isSpace && !first)
            {
                AppendMerged(row.AsSpan(0, length), ids);
                length = 0;
            }
            Add(isSpace ? new Rune(Space) : rune, row, ref length);
            first = false;
        }
        AppendMerged(row.AsSpan(0, length), ids);
    }

    private protected override ReadOnlySpan<byte> BytesOf(int id) => bytes[id];

    internal override void WritePipeline(Utf8JsonWriter json)
    {
        var space = JsonSerializer.Serialize(Space.ToString());
        var prepend = $$"""{ "type": "Prepend", "prepend": {{space}} }""";
        var replace = $$"""{ "type": "Replace", "pattern": { "String": " " }, "content": {{space}} }""";
        string?[] normalizers = [Prefix == SpacePrefix.Always ? prepend : null, Space == ' ' ? null : replace];
        var back = $$"""{ "type": "Replace", "pattern": { "String": {{space}} }, "content": " " }""";
        var strip = """, { "type": "Strip", "content": " ", "start": 1, "stop": 0 }""";
        if (SplitsAtSpaces || Prefix is SpacePrefix.UnlessThere or SpacePrefix.FirstUnlessThere)
        {
            json.WriteNull("normalizer");
            json.WritePropertyName("pre_tokenizer");
            json.WriteRawValue($$"""
                { "type": "Metaspace", "replacement": {{space}}, "prepend_scheme": "{{MetaspaceScheme.Of(Prefix)}}", "split": {{(SplitsAtSpaces ? "true" : "false")}} }
                """.Trim());
        }
        else
        {
            json.WritePropertyName("normalizer");
            json.WriteRawValue($$"""{ "type": "Sequence", "normalizers": [{{string.Join(", ", normalizers.OfType<string>())}}] }""");
            json.WriteNull("pre_tokenizer");
        }
        json.WritePropertyName("decoder");
        json.WriteRawValue($$"""
            { "type": "Sequence", "decoders": [{{back}}, { "type": "ByteFallback" }, { "type": "Fuse" }{{(Prefix != SpacePrefix.Never ? strip : "")}}] }
            """.Trim());
    }

    private void Add(Rune rune, int[] row, ref int length)
    {
        Span<char> units = stackalloc char[2];
        if (pieceIds.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(units[..rune.EncodeToUtf16(units)], out var id))
        {
            row[length++] = id;
            return;
        }
        Span<byte> utf8 = stackalloc byte[4];
        foreach (var value in utf8[..rune.EncodeToUtf8(utf8)])
        {
            row[length++] = byteIds[value];
        }
    }

    private static byte? ByteOf(string piece) =>
        piece.Length == 6 && piece.StartsWith("<0x", StringComparison.Ordinal) && piece[5] == '>'
        && byte.TryParse(piece.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var value) ? value : null;
}
