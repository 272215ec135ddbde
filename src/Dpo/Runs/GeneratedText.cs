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
        if (promptIds.Length == 0 || promptIds.Length >= model.Config.MaxPositions)
        {
            throw new InputException(
                "--prompt", null, $"has {promptIds.Length} tokens; the model takes 1 to {model.Config.MaxPositions - 1}", "give another prompt");
        }
        var sample = Generator.Sample(model, [promptIds], options, cancellation: cancellation)[0];
        int[] ids = [.. promptIds, .. sample.Ended ? sample.Tokens[..^1] : sample.Tokens];
        return new GeneratedText(promptIds, ids, tokenizer.Decode(ids));
    }
}
