using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace TinyDpo.Models;

/// <summary>
/// Writes a tokenizer as Hugging Face's tools read it. The bytes depend on the tokenizer alone, so they are its canonical form too.
/// </summary>
internal static class TokenizerJsonWriter
{
    public static byte[] Tokenizer(BpeTokenizer tokenizer) => Write(json =>
    {
        var model = tokenizer.Model;
        json.WriteString("version", "1.0");
        json.WriteNull("truncation");
        json.WriteNull("padding");
        json.WriteStartArray("added_tokens");
        foreach (var token in model.AddedTokens.OrderBy(token => token.Id))
        {
            WriteAddedToken(json, token);
        }
        json.WriteEndArray();
        tokenizer.WritePipeline(json);
        WriteTemplate(json, model);
        json.WriteStartObject("model");
        WriteModel(json, model, tokenizer.HasByteFallback);
        json.WriteEndObject();
    });

    public static byte[] Configuration(BpeTokenizer tokenizer) => Write(json =>
    {
        var model = tokenizer.Model;
        json.WriteBoolean("add_bos_token", model.BosId is not null);
        json.WriteBoolean("add_eos_token", false);
        foreach (var (name, id) in new[] { ("bos_token", model.BosTokenId), ("eos_token", model.EosId), ("unk_token", model.UnkId) })
        {
            if (id is not null)
            {
                json.WriteString(name, model.Pieces[id.Value]);
            }
        }
        if (model.ChatTemplate is not null)
        {
            json.WriteString("chat_template", model.ChatTemplate);
        }
        json.WriteBoolean("clean_up_tokenization_spaces", false);
        json.WriteBoolean("split_special_tokens", model.SplitSpecialTokens);
        json.WriteString("tokenizer_class", "PreTrainedTokenizerFast");
        if (model.HasTiedRanks)
        {
            json.WritePropertyName("merge_ranks");
            json.WriteRawValue($"[{string.Join(", ", model.Merges.Select(merge => merge.Rank))}]");
        }
    });

    private static byte[] Write(Action<Utf8JsonWriter> members)
    {
        var buffer = new ArrayBufferWriter<byte>();
        // Line feeds everywhere: the bytes, and with them the fingerprint, are the same on every system.
        var options = new JsonWriterOptions { Indented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
        using (var json = new Utf8JsonWriter(buffer, options))
        {
            json.WriteStartObject();
            members(json);
            json.WriteEndObject();
        }
        return buffer.WrittenSpan.ToArray();
    }

    private static void WriteAddedToken(Utf8JsonWriter json, AddedToken token)
    {
        json.WriteStartObject();
        json.WriteNumber("id", token.Id);
        json.WriteString("content", token.Content);
        json.WriteBoolean("single_word", false);
        json.WriteBoolean("lstrip", token.LStrip);
        json.WriteBoolean("rstrip", token.RStrip);
        json.WriteBoolean("normalized", token.Normalized);
        json.WriteBoolean("special", token.Special);
        json.WriteEndObject();
    }

    private static void WriteTemplate(Utf8JsonWriter json, BpeModel model)
    {
        if (model.BosId is not { } bos)
        {
            json.WriteNull("post_processor");
            return;
        }
        var name = JsonSerializer.Serialize(model.Pieces[bos]);
        string Part(string text, int type) =>
            $$"""{ "SpecialToken": { "id": {{name}}, "type_id": {{type}} } }, { "Sequence": { "id": "{{text}}", "type_id": {{type}} } }""";
        json.WritePropertyName("post_processor");
        json.WriteRawValue($$"""
            { "type": "TemplateProcessing", "single": [{{Part("A", 0)}}], "pair": [{{Part("A", 0)}}, {{Part("B", 1)}}],
                "special_tokens": { {{name}}: { "id": {{name}}, "ids": [{{bos}}], "tokens": [{{name}}] } } }
            """);
    }

    private static void WriteModel(Utf8JsonWriter json, BpeModel model, bool byteFallback)
    {
        json.WriteString("type", "BPE");
        json.WriteNull("dropout");
        json.WriteString("unk_token", model.UnkId is { } unk ? model.Pieces[unk] : null);
        json.WriteNull("continuing_subword_prefix");
        json.WriteNull("end_of_word_suffix");
        json.WriteBoolean("fuse_unk", byteFallback);
        json.WriteBoolean("byte_fallback", byteFallback);
        json.WriteBoolean("ignore_merges", model.IgnoreMerges);
        json.WriteStartObject("vocab");
        for (var id = 0; id < model.Pieces.Count; id++)
        {
            if (model.Pieces[id] is { } piece)
            {
                json.WriteNumber(piece, id);
            }
        }
        json.WriteEndObject();
        // "LEFT RIGHT" is what every version of the tokenizers reads, but it cannot say which of two spaces is the separator.
        var asPairs = model.Merges.Any(merge => model.Pieces[merge.Result]!.Contains(' '));
        json.WriteStartArray("merges");
        foreach (var merge in model.Merges)
        {
            var (left, right) = (model.Pieces[merge.Left]!, model.Pieces[merge.Right]!);
            if (asPairs)
            {
                json.WriteRawValue(JsonSerializer.Serialize<string[]>([left, right]));
            }
            else
            {
                json.WriteStringValue($"{left} {right}");
            }
        }
        json.WriteEndArray();
    }
}
