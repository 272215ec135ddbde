using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>Prompts from a file, each with its ids and its text.</summary>
internal static class PromptSet
{
    /// <exception cref="InputException">Bad input; or a prompt leaves no room for a continuation in the model's context.</exception>
    public static IReadOnlyList<(int[] Ids, string Text)> Read(string path, ITokenizer tokenizer, ModelConfig config)
    {
        var prompts = PromptData.Read(path, tokenizer, new PreferenceDataOptions { VocabSize = config.VocabSize });
        return prompts.FirstOrDefault(p => p.Ids.Length >= config.MaxPositions) is { } tooLong
            ? throw new InputException(
                path, $"line {tooLong.Line}", $"has {tooLong.Ids.Length} tokens, and the model's context is {config.MaxPositions}",
                "shorten or delete the prompt")
            : [.. prompts.Select(p => (p.Ids, p.Text ?? tokenizer.Decode(p.Ids)))];
    }
}
