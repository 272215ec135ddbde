namespace TinyDpo.Dpo;

/// <summary>One turn of a conversation.</summary>
public sealed record ChatMessage(string Role, string Content);

/// <summary>
/// Conversations as the text that a model was trained on: the common templates by name, in place of the Jinja of tokenizer_config.json. The
/// token that begins a sequence is the tokenizer's to put in front.
/// </summary>
public abstract class ChatTemplate
{
    protected const string User = "user", Assistant = "assistant", System = "system";

    /// <summary>That of TRL's <c>setup_chat_format</c> and of Qwen.</summary>
    public static ChatTemplate ChatMl { get; } = new HeaderTemplate("chatml", "<|im_start|>", "\n", "<|im_end|>\n", "assistant", trims: false);

    public static ChatTemplate Llama3 { get; } =
        new HeaderTemplate("llama-3", "<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>", "assistant", trims: true);

    public static ChatTemplate Gemma { get; } = new HeaderTemplate("gemma", "<start_of_turn>", "\n", "<end_of_turn>\n", "model", trims: true, system: false);

    public static ChatTemplate Llama2 { get; } = new InstructionTemplate("llama-2", "<<SYS>>\n", "\n<</SYS>>\n\n", " ", "</s><s>");

    public static ChatTemplate Mistral { get; } = new InstructionTemplate("mistral", "", "\n\n", "", "</s>");

    public static IReadOnlyList<ChatTemplate> All { get; } = [ChatMl, Llama2, Llama3, Mistral, Gemma];

    public abstract string Name { get; }

    /// <summary>What stands behind an answer, where another turn may follow.</summary>
    public abstract string TurnEnd { get; }

    /// <summary>The template that a tokenizer's Jinja text is, by what only it contains; ChatML for none.</summary>
    /// <returns>Null for a text that is none of the known ones.</returns>
    public static ChatTemplate? Recognise(string? jinja) => jinja switch
    {
        null => ChatMl,
        _ when jinja.Contains("<|im_start|>", StringComparison.Ordinal) => ChatMl,
        _ when jinja.Contains("<|start_header_id|>", StringComparison.Ordinal) => Llama3,
        _ when jinja.Contains("<start_of_turn>", StringComparison.Ordinal) => Gemma,
        _ when jinja.Contains("<<SYS>>", StringComparison.Ordinal) => Llama2,
        _ when jinja.Contains("[INST]", StringComparison.Ordinal) => Mistral,
        _ => null,
    };

    /// <summary>
    /// The prompt: after a user's turn what opens an answer follows; a last turn of the assistant stays open, to be continued.
    /// </summary>
    /// <exception cref="ChatException">The template has no place for a role where it stands.</exception>
    public string RenderPrompt(IReadOnlyList<ChatMessage> messages) =>
        messages[^1].Role == Assistant ? Render(messages)[..^TurnEnd.Length] : Render(messages) + Opening;

    /// <summary>What the completion's messages add to the rendered prompt, or null where they do not continue it (another role answers).</summary>
    /// <exception cref="ChatException">As <see cref="RenderPrompt"/>.</exception>
    public string? RenderCompletion(IReadOnlyList<ChatMessage> prompt, IReadOnlyList<ChatMessage> completion)
    {
        var opening = RenderPrompt(prompt);
        var whole = Render([.. prompt, .. completion]);
        return whole.StartsWith(opening, StringComparison.Ordinal) ? whole[opening.Length..] : null;
    }

    /// <summary>What stands before an answer.</summary>
    protected abstract string Opening { get; }

    /// <summary>A conversation, each answer in it with <see cref="TurnEnd"/>.</summary>
    protected abstract string Render(IReadOnlyList<ChatMessage> messages);
}

/// <summary>A conversation that a template has no place for.</summary>
public sealed class ChatException(string message) : Exception(message);

/// <summary>Every turn under a header with its role.</summary>
internal sealed class HeaderTemplate(string name, string start, string headerEnd, string turnEnd, string assistant, bool trims, bool system = true)
    : ChatTemplate
{
    public override string Name => name;

    public override string TurnEnd => turnEnd;

    protected override string Opening => start + assistant + headerEnd;

    protected override string Render(IReadOnlyList<ChatMessage> messages) => string.Concat(messages.Select(message =>
    {
        if (message.Role == System && !system)
        {
            throw new ChatException($"the template {name} has no place for a system message");
        }
        return start + (message.Role == Assistant ? assistant : message.Role) + headerEnd + (trims ? message.Content.Trim() : message.Content) + turnEnd;
    }));
}

/// <summary>A user's turn between [INST] and [/INST], a system message within the first; turns alternate.</summary>
internal sealed class InstructionTemplate(string name, string systemStart, string systemEnd, string answerEnd, string turnEnd) : ChatTemplate
{
    public override string Name => name;

    public override string TurnEnd => answerEnd + turnEnd;

    protected override string Opening => "";

    protected override string Render(IReadOnlyList<ChatMessage> messages)
    {
        var system = messages[0].Role == System ? systemStart + messages[0].Content + systemEnd : "";
        var turns = messages.Skip(system.Length > 0 ? 1 : 0).ToList();
        if (turns.Count == 0 || turns.Where((turn, i) => turn.Role != (i % 2 == 0 ? User : Assistant)).Any())
        {
            throw new ChatException($"the template {name} wants turns of user and assistant in alternation, after at most one system message");
        }
        return string.Concat(turns.Select((turn, i) => turn.Role == User
            ? $"[INST] {(i == 0 ? system : "")}{turn.Content.Trim()} [/INST]"
            : $" {turn.Content.Trim()}{TurnEnd}"));
    }
}
