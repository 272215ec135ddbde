namespace TinyDpo.Models;

/// <summary>
/// Finds the ids that begin and end a sequence: tokenizer_config.json has the first word, then tokenizer.json's post_processor, then
/// config.json.
/// </summary>
internal sealed class SequenceIds(JsonPlace root, JsonPlace? configuration, JsonPlace? modelConfiguration, PieceTable table)
{
    private const string Supported = "one TemplateProcessing that puts one token in front of the text is supported";

    private static readonly string[] UsualEnds = [TokenizerFile.EndOfText, "</s>"];

    /// <summary>The id that a text starts with, or null where nothing asks for one.</summary>
    public int? Bos()
    {
        if (configuration?["add_eos_token"] is { } end && end.Flag())
        {
            throw end.Error("a prompt that ends with an end of sequence is not supported", "set add_eos_token to false");
        }
        var template = Template();
        var wanted = configuration?["add_bos_token"]?.Flag() ?? template is not null;
        if (!wanted)
        {
            return null;
        }
        return Configured("bos_token") ?? template ?? FromModel("bos_token_id")
            ?? throw configuration!.Value.Error("add_bos_token is true, but no bos_token is named", "name it");
    }

    /// <summary>The token that tokenizer_config.json calls bos_token, for chat templates; null where it names none, or none of the vocabulary.</summary>
    public int? BosToken() => configuration?["bos_token"] is { } token ? table.IdOf(HuggingFaceTokenizerReader.TokenText(token)) : null;

    public int Eos() => Configured("eos_token") ?? FromModel("eos_token_id")
        ?? UsualEnds.Select(table.IdOf).FirstOrDefault(id => id is not null)
        ?? throw root.Error("nothing says which token ends a sequence",
            $"name an eos_token in {TokenizerFile.ConfigurationName} beside it");

    private int? Configured(string name) =>
        configuration?[name] is { } token
            ? HuggingFaceTokenizerReader.IdOf(token, HuggingFaceTokenizerReader.TokenText(token), table) : null;

    private int? FromModel(string name)
    {
        if (modelConfiguration?[name] is not { } value)
        {
            return null;
        }
        // A chat model may list several ends: the first is the one that it was trained to write.
        var id = value.IsList && value.Items() is [var first, ..] ? first : value;
        return table.Has(id.Integer()) ? id.Integer() : throw id.Error($"the tokenizer has no id {id.Integer()}", "name one of its ids");
    }

    private int? Template()
    {
        int? bos = null;
        foreach (var step in root.Steps("post_processor", "processors"))
        {
            if (step.Type == "ByteLevel")
            {
                // Trims offsets, adds nothing.
                continue;
            }
            if (step.Type != "TemplateProcessing" || bos is not null)
            {
                throw step.Error($"a post_processor {Quoted.Text(step.Type)} is not supported here", Supported);
            }
            bos = step.Required("single").Items() switch
            {
                [var text] when text["Sequence"] is not null => null,
                [var token, var text] when text["Sequence"] is not null && token["SpecialToken"] is { } special
                    => TemplateId(step, special),
                _ => throw step.Error("the template is more than at most one token and the text", Supported),
            };
        }
        return bos;
    }

    private int TemplateId(JsonPlace step, JsonPlace special)
    {
        var name = special.Required("id").Text();
        var ids = step["special_tokens"]?[name]?["ids"];
        if (ids is null)
        {
            return HuggingFaceTokenizerReader.IdOf(special, name, table);
        }
        return ids.Value.Items() is [var id] && table.Has(id.Integer()) ? id.Integer()
            : throw ids.Value.Error("is not one id of the vocabulary", "write one");
    }
}
