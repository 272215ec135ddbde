namespace TinyDpo.Dpo;

/// <summary>One turn of a conversation.</summary>
public sealed record ChatMessage(string Role, string Content);

/// <summary>Conversations as ChatML text, the template of TRL's <c>setup_chat_format</c>.</summary>
public static class ChatMl
{
    public const string Start = "<|im_start|>", End = "<|im_end|>";

    public static string Render(IEnumerable<ChatMessage> messages) =>
        string.Concat(messages.Select(m => $"{Start}{m.Role}\n{m.Content}{End}\n"));

    /// <summary>
    /// The prompt: after a user's turn the header of an answer follows; a last turn of the assistant stays open, to be continued.
    /// </summary>
    public static string RenderPrompt(IReadOnlyList<ChatMessage> messages)
    {
        var text = Render(messages);
        return messages[^1].Role == "assistant" ? text[..^(End.Length + 1)] : text + $"{Start}assistant\n";
    }

    /// <summary>
    /// What the completion's messages add to the rendered prompt, or null where they do not continue it (another role answers).
    /// </summary>
    public static string? RenderCompletion(IReadOnlyList<ChatMessage> prompt, IReadOnlyList<ChatMessage> completion)
    {
        var opening = RenderPrompt(prompt);
        var whole = Render(prompt.Concat(completion));
        return whole.StartsWith(opening, StringComparison.Ordinal) ? whole[opening.Length..] : null;
    }
}
