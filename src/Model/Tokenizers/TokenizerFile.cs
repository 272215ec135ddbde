namespace TinyDpo.Models;

/// <summary>Loads a tokenizer, whichever of the known files it is.</summary>
public static class TokenizerFile
{
    internal const string TokenizerName = "tokenizer.json";
    internal const string ConfigurationName = "tokenizer_config.json";
    internal const string ModelConfigurationName = "config.json";
    internal const string ChatTemplateName = "chat_template.jinja";
    internal const string VocabularyName = "vocab.json";
    internal const string MergesName = "merges.txt";
    internal const string EndOfText = "<|endoftext|>";

    // Some belong to tokenizers that are not read; an adapter's folder with one of them is meant to have its own.
    private static readonly string[] s_names = [TokenizerName, ConfigurationName, ChatTemplateName, VocabularyName, MergesName, "tokenizer.model"];

    /// <summary>
    /// Loads a folder in Hugging Face's layout (tokenizer.json, or vocab.json with merges.txt), a tokenizer.json, or llama2.c's TOK.bin.
    /// Beside a tokenizer.json, tokenizer_config.json and config.json are read where they are there: they name the ids that begin and end a
    /// sequence. An adapter's folder without any such file has its base model's.
    /// </summary>
    /// <exception cref="InputException">The file is absent, torn, contradicts itself or is of a kind that is not supported.</exception>
    public static ITokenizer Load(string path)
    {
        if (LoraFile.IsAdapter(path) && !s_names.Any(name => File.Exists(Path.Combine(path, name))))
        {
            path = LoraFile.BaseOf(path);
        }
        if (Directory.Exists(path))
        {
            var file = Path.Combine(path, TokenizerName);
            var vocabulary = Path.Combine(path, VocabularyName);
            return File.Exists(file) || !File.Exists(vocabulary)
                ? HuggingFaceTokenizerReader.Read(file)
                : HuggingFaceTokenizerReader.ReadVocabularyAndMerges(vocabulary, Path.Combine(path, MergesName));
        }
        var content = ReadBytes(path);
        if (IsJson(path, content.Span))
        {
            return HuggingFaceTokenizerReader.Read(path);
        }
        return Llama2cTokenizerReader.Recognises(content.Span)
            ? Llama2cTokenizerReader.Read(path, content.Span)
            : throw new InputException(path, null, "is no tokenizer of a known kind",
                "give a Hugging Face folder, a tokenizer.json or llama2.c's TOK.bin");
    }

    /// <summary>Checks that every id of <paramref name="tokenizer"/>, loaded from <paramref name="file"/>, is one of the model's.</summary>
    /// <exception cref="InputException">The tokenizer has more ids than the model.</exception>
    public static void CheckVocabulary(ITokenizer tokenizer, int modelVocabSize, string file)
    {
        if (tokenizer.VocabSize > modelVocabSize)
        {
            throw new InputException(file, null, $"the tokenizer has {tokenizer.VocabSize} ids, but the model only {modelVocabSize}",
                "use the tokenizer that the model was trained with");
        }
    }

    /// <exception cref="InputException">The file is absent, too large, or cannot be read.</exception>
    internal static ReadOnlyMemory<byte> ReadBytes(string file) => InputFile.ReadAll(file, InputLimit.Tokenizer.Bytes);

    private static bool IsJson(string path, ReadOnlySpan<byte> content)
    {
        // 123, a possible first number of a TOK.bin, is '{' followed by NUL.
        var start = content.TrimStart(" \t\r\n\uFEFF"u8);
        return Path.GetExtension(path).Equals(".json", StringComparison.OrdinalIgnoreCase) || (start is [(byte)'{', not 0, ..]);
    }
}
