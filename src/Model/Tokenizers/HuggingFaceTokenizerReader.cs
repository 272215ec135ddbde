using System.Text;

namespace TinyDpo.Models;

/// <summary>
/// Reads Hugging Face's tokenizer.json of the two kinds of byte-pair encoding that we have. What would change the ids and is not
/// supported is refused. Truncation and padding are passed over: transformers sets them anew at every call.
/// </summary>
internal static class HuggingFaceTokenizerReader
{
    private const string OtherTokenizer = "use a byte-level (GPT-2) or byte-fallback (Llama 2) BPE tokenizer";

    private static readonly string[] Gpt2Classes = ["GPT2Tokenizer", "GPT2TokenizerFast", "PreTrainedTokenizerFast"];

    public static BpeTokenizer Read(string file)
    {
        var root = JsonPlace.Read(file, InputLimit.Tokenizer);
        var model = root.Required("model");
        if (model["type"] is { } type && type.Text() != "BPE")
        {
            throw type.Error($"\"{Quoted.Text(type.Text())}\" is not supported", OtherTokenizer);
        }
        Refuse(model, "dropout", value => value.Value.TryGetDouble(out var dropout) && dropout == 0);
        Refuse(model, "continuing_subword_prefix", value => value.Text().Length == 0);
        Refuse(model, "end_of_word_suffix", value => value.Text().Length == 0);

        var table = new PieceTable();
        ReadVocabulary(model.Required("vocab"), table);
        var added = (root["added_tokens"]?.Items() ?? [])
            .Select(token => ReadAddedToken(token, token.Required("id").Integer(), table)).ToList();
        var (configuration, modelConfiguration) = Beside(file);
        var merges = ReadMerges(model.Required("merges"), configuration?["merge_ranks"]?.Items(), table);
        // GPT-2's own file names the unknown token "", for none.
        var unk = model["unk_token"] is { } unknown && unknown.Text().Length > 0 ? IdOf(unknown, unknown.Text(), table) : (int?)null;

        if (model["byte_fallback"]?.Flag() == true)
        {
            Refuse(model, "ignore_merges", value => !value.Flag());
            var (space, prefix, splits) = root["pre_tokenizer"] is null ? ReadSpaceNormalizer(root) : ReadMetaspace(root);
            var bpe = Assemble(root, configuration, modelConfiguration, table, merges, added, unk);
            return new ByteFallbackTokenizer(bpe, space, prefix, splits);
        }
        var normalizers = root.Steps("normalizer", "normalizers");
        if (normalizers.FindIndex(static step => step.Type != "NFC") is >= 0 and var other)
        {
            throw normalizers[other].Error($"a normalizer {Quoted.Text(normalizers[other].Type)} is not supported", OtherTokenizer);
        }
        var words = ReadWordPattern(root);
        RefusePrefixSpace(configuration);
        return new ByteLevelTokenizer(Assemble(root, configuration, modelConfiguration, table, merges, added, unk) with
        {
            Words = words,
            IgnoreMerges = model["ignore_merges"]?.Flag() ?? false,
            NormalizesToFormC = normalizers.Count > 0,
        });
    }

    /// <summary>The older layout of GPT-2's tokenizer: the pieces in vocab.json, the merges, one a line, in merges.txt.</summary>
    public static ByteLevelTokenizer ReadVocabularyAndMerges(string vocabularyFile, string mergesFile)
    {
        var root = JsonPlace.Read(vocabularyFile, InputLimit.Tokenizer);
        var table = new PieceTable();
        ReadVocabulary(root, table);
        var (configuration, modelConfiguration) = Beside(vocabularyFile);
        RefusePrefixSpace(configuration);
        if (configuration?["tokenizer_class"] is { } kind && !Gpt2Classes.Contains(kind.Text()))
        {
            throw kind.Error($"{Quoted.Text(kind.Text())} may cut words otherwise than GPT-2, which {TokenizerFile.VocabularyName} does not say",
                $"save the tokenizer as {TokenizerFile.TokenizerName}");
        }
        var added = new List<AddedToken>();
        foreach (var (name, token) in configuration?["added_tokens_decoder"]?.Members() ?? [])
        {
            var id = int.TryParse(name, out var number) ? number : throw token.Error("is named by no id", "name it by its id");
            added.Add(ReadAddedToken(token, id, table));
        }
        var unk = configuration?["unk_token"] is { } unknown ? IdOf(unknown, TokenText(unknown), table) : (int?)null;
        var merges = new List<Merge>();
        var lines = Encoding.UTF8.GetString(TokenizerFile.ReadBytes(mergesFile).Span).Split('\n');
        for (var i = 0; i < lines.Length; i++)
        {
            var line = lines[i].TrimEnd('\r');
            var isHeader = i == 0 && line.StartsWith("#version", StringComparison.Ordinal);
            if (line.Length > 0 && !isHeader)
            {
                merges.Add(ReadMerge(line, merges.Count, table, ErrorAt(mergesFile, $"line {i + 1}")));
            }
        }
        return new ByteLevelTokenizer(
            Assemble(root, configuration, modelConfiguration, table, merges, added, unk));
    }

    private static PieceTable.Error ErrorAt(string file, string place) =>
        (problem, remedy) => new InputException(file, place, problem, remedy);

    private static (JsonPlace? Configuration, JsonPlace? Model) Beside(string file)
    {
        var folder = Path.GetDirectoryName(Path.GetFullPath(file))!;
        JsonPlace? ReadWhereThere(string name) =>
            File.Exists(Path.Combine(folder, name)) ? JsonPlace.Read(Path.Combine(folder, name), InputLimit.Json) : null;
        return (ReadWhereThere(TokenizerFile.ConfigurationName), ReadWhereThere(TokenizerFile.ModelConfigurationName));
    }

    // Of a byte-level tokenizer: where transformers finds it there, it holds whatever tokenizer.json says.
    private static void RefusePrefixSpace(JsonPlace? configuration)
    {
        if (configuration is { } there)
        {
            Refuse(there, "add_prefix_space", value => !value.Flag());
        }
    }

    private static void Refuse(JsonPlace parent, string name, Func<JsonPlace, bool> isHarmless)
    {
        if (parent[name] is { } value && !isHarmless(value))
        {
            throw value.Error("is set to something that is not supported", OtherTokenizer);
        }
    }

    private static void ReadVocabulary(JsonPlace vocabulary, PieceTable table)
    {
        foreach (var (piece, id) in vocabulary.Members())
        {
            table.Add(piece, id.Integer(), id.Error);
        }
    }

    private static AddedToken ReadAddedToken(JsonPlace token, int id, PieceTable table)
    {
        bool Flag(string name) => token[name]?.Flag() ?? false;
        var content = token.Required("content");
        if (content.Text().Length == 0)
        {
            throw content.Error("is empty", "remove the token");
        }
        Refuse(token, "single_word", value => !value.Flag());
        table.Add(content.Text(), id, token.Error);
        return new AddedToken(id, content.Text(), Flag("special"), Flag("lstrip"), Flag("rstrip"), Flag("normalized"));
    }

    private static List<Merge> ReadMerges(JsonPlace list, List<JsonPlace>? ranks, PieceTable table)
    {
        var items = list.Items();
        if (ranks is not null && ranks.Count != items.Count)
        {
            throw list.Error($"there are {items.Count} merges, but {ranks.Count} merge_ranks in {TokenizerFile.ConfigurationName}",
                "save the tokenizer again");
        }
        var merges = new List<Merge>(items.Count);
        foreach (var item in items)
        {
            var rank = ranks?[merges.Count].Integer() ?? merges.Count;
            if (item.IsText)
            {
                merges.Add(ReadMerge(item.Text(), rank, table, item.Error));
            }
            else
            {
                merges.Add(item.Items() is [var left, var right] ? table.Merge(left.Text(), right.Text(), rank, item.Error)
                    : throw item.Error("is not a pair of pieces", "write two pieces"));
            }
        }
        return merges;
    }

    private static Merge ReadMerge(string line, int rank, PieceTable table, PieceTable.Error error) =>
        line.Split(' ') is [{ Length: > 0 } left, { Length: > 0 } right] ? table.Merge(left, right, rank, error)
            : throw error($"the merge \"{Quoted.Text(line)}\" is not two pieces with one space between them", "write \"LEFT RIGHT\"");

    // What was add_prefix_space at first became prepend_scheme; both may stand there.
    private static (char Space, SpacePrefix Prefix, bool SplitsAtSpaces) ReadMetaspace(JsonPlace root)
    {
        var steps = root.Steps("pre_tokenizer", "pretokenizers");
        if (steps is not [{ Type: "Metaspace" } step])
        {
            throw root.Required("pre_tokenizer").Error("is not one Metaspace", OtherTokenizer);
        }
        if (root.Steps("normalizer", "normalizers") is [var normalizer, ..])
        {
            throw normalizer.Error($"a normalizer {Quoted.Text(normalizer.Type)} before a Metaspace is not supported", OtherTokenizer);
        }
        var space = step.Required("replacement");
        if (space.Text().Length != 1)
        {
            throw space.Error("is not one character", "write one, as ▁");
        }
        var prefix = step["prepend_scheme"] is { } scheme
            ? MetaspaceScheme.Of(scheme.Text()) ?? throw scheme.Error($"\"{Quoted.Text(scheme.Text())}\" is not supported", "write always, first or never")
            : SpacePrefix.UnlessThere;
        return (space.Text()[0], step["add_prefix_space"]?.Flag() == false ? SpacePrefix.Never : prefix, step["split"]?.Flag() ?? true);
    }

    private static (char Space, SpacePrefix Prefix, bool SplitsAtSpaces) ReadSpaceNormalizer(JsonPlace root)
    {
        string? prefix = null, space = null;
        foreach (var step in root.Steps("normalizer", "normalizers"))
        {
            if (step.Type == "Prepend" && prefix is null)
            {
                prefix = step.Required("prepend").Text();
            }
            else if (step.Type == "Replace" && space is null && step.Required("pattern")["String"]?.Text() == " ")
            {
                space = step.Required("content").Text();
            }
            else
            {
                throw step.Error($"a normalizer {Quoted.Text(step.Type)} like this is not supported", OtherTokenizer);
            }
        }
        space ??= " ";
        return space.Length == 1 && (prefix ?? space) == space ? (space[0], prefix is null ? SpacePrefix.Never : SpacePrefix.Always, false)
            : throw root.Required("normalizer").Error("a space does not become one character, the same as is prepended", OtherTokenizer);
    }

    // GPT-2's words come with a ByteLevel step alone, or behind Digits; others' with a Split before it.
    private static WordPattern ReadWordPattern(JsonPlace root)
    {
        var steps = root.Steps("pre_tokenizer", "pretokenizers");
        var error = () => (root["pre_tokenizer"] ?? root).Error("is neither byte-level as GPT-2's, Llama 3's, Qwen2's or SmolLM2's is nor byte-fallback", OtherTokenizer);
        if (steps.Count is 0 or > 2 || steps[^1].Type != "ByteLevel" || (steps.Count == 2 && steps[0].Type is not ("Split" or "Digits")))
        {
            throw error();
        }
        Refuse(steps[^1], "add_prefix_space", value => !value.Flag());
        if (steps.Count == 1 || steps[0].Type == "Digits")
        {
            Refuse(steps[^1], "use_regex", value => value.Flag());
            return steps.Count == 1 ? WordPattern.Gpt2
                : steps[0].Required("individual_digits") is { } individual && individual.Flag() ? WordPattern.DigitsThenGpt2
                : throw steps[0].Error("digits in runs are not supported", OtherTokenizer);
        }
        Refuse(steps[0], "behavior", value => value.Text() == "Isolated");
        Refuse(steps[0], "invert", value => !value.Flag());
        if (steps[1]["use_regex"]?.Flag() != false)
        {
            throw steps[1].Error("use_regex is true behind a Split: the words would be cut twice", OtherTokenizer);
        }
        return WordPattern.Of(steps[0].Required("pattern").Required("Regex").Text())
            ?? throw steps[0].Error("has a pattern that is not supported", OtherTokenizer);
    }

    private static BpeModel Assemble(JsonPlace root, JsonPlace? configuration, JsonPlace? modelConfiguration, PieceTable table,
        List<Merge> merges, List<AddedToken> added, int? unk)
    {
        var ids = new SequenceIds(root, configuration, modelConfiguration, table);
        var (bos, eos) = (ids.Bos(), ids.Eos());
        // As transformers does: what begins or ends a sequence is a special token, listed or not.
        foreach (var id in new[] { bos, eos }.OfType<int>().Distinct().Where(id => added.TrueForAll(token => token.Id != id)))
        {
            added.Add(new AddedToken(id, table.PieceOf(id), Special: true));
        }
        return new BpeModel
        {
            Source = root.File,
            Pieces = table.ToArray(),
            Merges = merges,
            AddedTokens = added,
            BosId = bos,
            BosTokenId = ids.BosToken(),
            EosId = eos,
            UnkId = unk,
            ChatTemplate = ReadChatTemplateFile(root.File) ?? ReadChatTemplate(configuration),
            SplitSpecialTokens = configuration?["split_special_tokens"]?.Flag() ?? false,
        };
    }

    // Where transformers keeps it since 2025, and looks first.
    private static string? ReadChatTemplateFile(string tokenizerFile)
    {
        var path = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(tokenizerFile))!, TokenizerFile.ChatTemplateName);
        return File.Exists(path) ? Encoding.UTF8.GetString(InputFile.ReadAll(path, InputLimit.Json.Bytes).Span) : null;
    }

    // A text, or several by name, of which the one called default is meant.
    private static string? ReadChatTemplate(JsonPlace? configuration) => configuration?["chat_template"] switch
    {
        null => null,
        { IsList: true } several => several.Items().Where(static item => item.Required("name").Text() == "default")
            .Select(static item => item.Required("template").Text()).FirstOrDefault(),
        { } one => one.Text(),
    };

    internal static int IdOf(JsonPlace place, string piece, PieceTable table) =>
        table.IdOf(piece) ?? throw place.Error($"names \"{Quoted.Text(piece)}\", which the vocabulary lacks", "name one of its pieces");

    /// <summary>A token in tokenizer_config.json is its text, or an object with the text as content.</summary>
    internal static string TokenText(JsonPlace token) => token.IsText ? token.Text() : token.Required("content").Text();
}
