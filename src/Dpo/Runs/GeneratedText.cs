using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>A continued prompt: what `tinydpo generate` prints.</summary>
/// <param name="PromptIds">The prompt's ids.</param>
/// <param name="Ids">Prompt and continuation, without the end token.</param>
/// <param name="Text">Prompt and continuation.</param>
public sealed record GeneratedText(int[] PromptIds, int[] Ids, string Text)
{
    /// <exception cref="InputException">The prompt has no tokens, or leaves no room in the model's context.</exception>
    public static GeneratedText Of(
        Transformer model, ITokenizer tokenizer, string prompt, GenerationOptions options, CancellationToken cancellation = default)
    {
        var promptIds = tokenizer.Encode(prompt);
        if (promptIds.Length == 0)
        {
            throw new InputException("--prompt", null, "is empty, and the tokenizer has no beginning-of-sequence token to stand for it", "give some text");
        }
        if (promptIds.Length >= model.Config.MaxPositions)
        {
            throw new InputException(
                "--prompt", null, $"has {promptIds.Length} tokens, and the model's context is {model.Config.MaxPositions}", "give a shorter prompt");
        }
        var sample = Generator.Sample(model, [promptIds], options, cancellation: cancellation)[0];
        int[] ids = [.. promptIds, .. sample.Ended ? sample.Tokens[..^1] : sample.Tokens];
        return new GeneratedText(promptIds, ids, tokenizer.Decode(ids));
    }
}
