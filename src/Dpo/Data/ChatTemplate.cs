using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>One turn of a conversation.</summary>
public sealed record ChatMessage(string Role, string Content);

/// <summary>A conversation that a template has no place for, or a template that cannot be followed.</summary>
public sealed class ChatException(string message) : Exception(message);

/// <summary>
/// Conversations as the text that a model was trained on, by the Jinja of its tokenizer or by that of a common template, as transformers'
/// apply_chat_template has it. Where the tokenizer puts the token that begins a sequence in front, the text goes without; there are no tools and no date of today.
/// </summary>
public sealed class ChatTemplate
{
    private const string Assistant = "assistant";

    // Stands for an answer where the place of its end is wanted; in no text of a template.
    private const string Mark = "\uE000";

    private readonly Lazy<JinjaTemplate> _jinja;
    private readonly string _bos;
    private readonly string _eos;
    private readonly bool _encodingAddsBos;

    private string? _turnEnd;

    private ChatTemplate(string name, Lazy<JinjaTemplate> jinja, string bos, string eos, bool encodingAddsBos) =>
        (Name, _jinja, _bos, _eos, _encodingAddsBos) = (name, jinja, bos, eos, encodingAddsBos);

    private ChatTemplate(string name, Lazy<JinjaTemplate> jinja, ITokenizer tokenizer)
        : this(name, jinja, tokenizer.BosText, tokenizer.EosText, tokenizer.BosId is not null)
    {
    }

    private ChatTemplate(string name, string jinja)
        : this(name, new(() => JinjaTemplate.Parse(jinja)), "<s>", "</s>", encodingAddsBos: true)
    {
    }

    /// <summary>That of TRL's <c>setup_chat_format</c>.</summary>
    public static ChatTemplate ChatMl { get; } = new("chatml", ChatTemplates.ChatMl);

    public static ChatTemplate Gemma { get; } = new("gemma", ChatTemplates.Gemma);

    public static ChatTemplate Llama2 { get; } = new("llama-2", ChatTemplates.Llama2);

    public static ChatTemplate Mistral { get; } = new("mistral", ChatTemplates.Mistral);

    /// <summary>Those that have a name.</summary>
    public static IReadOnlyList<ChatTemplate> All { get; } =
    [
        ChatMl, new("qwen2.5", ChatTemplates.Qwen25), Llama2, new("llama-3", ChatTemplates.Llama3), new("llama-3.1", ChatTemplates.Llama31), Mistral,
        new("mistral-v1", ChatTemplates.MistralV1), new("zephyr", ChatTemplates.Zephyr), Gemma,
    ];

    public string Name { get; }

    /// <summary>What stands behind an answer; empty where the template does not say.</summary>
    public string TurnEnd => _turnEnd ??= FindTurnEnd();

    /// <summary>The tokenizer's own template; ChatML for none.</summary>
    /// <exception cref="ChatException">The tokenizer's Jinja is not supported; the message says where.</exception>
    public static ChatTemplate Of(ITokenizer tokenizer)
    {
        if (tokenizer.ChatTemplate is not { } jinja)
        {
            return ChatMl.For(tokenizer);
        }
        try
        {
            return new ChatTemplate("own", new(JinjaTemplate.Parse(jinja)), tokenizer);
        }
        catch (JinjaException e)
        {
            throw new ChatException(e.Message);
        }
    }

    /// <summary>The same with the tokenizer's marks for the beginning and the end of a sequence.</summary>
    public ChatTemplate For(ITokenizer tokenizer) => new(Name, _jinja, tokenizer);

    /// <summary>
    /// The prompt: after a user's turn what opens an answer follows; a last turn of the assistant stays open, to be continued.
    /// </summary>
    /// <exception cref="ChatException">The template has no place for a role where it stands.</exception>
    public string RenderPrompt(IReadOnlyList<ChatMessage> messages)
    {
        if (messages[^1].Role != Assistant)
        {
            return Render(messages, opens: true);
        }
        var answer = messages[^1].Content.Trim();
        var text = answer.Length > 0 ? Render(messages, opens: false) : Render([.. messages.SkipLast(1), new(Assistant, answer = Mark)], opens: false);
        // A template may trim an answer, or not.
        var whole = text.LastIndexOf(messages[^1].Content, StringComparison.Ordinal);
        return answer == Mark ? text[..Math.Max(0, text.LastIndexOf(Mark, StringComparison.Ordinal))]
            : whole >= 0 ? text[..(whole + messages[^1].Content.Length)]
            : text.LastIndexOf(answer, StringComparison.Ordinal) is >= 0 and var trimmed ? text[..(trimmed + answer.Length)]
            : throw new ChatException($"the template {Name} changes the answer that is to be continued");
    }

    /// <summary>What the completion's messages add to the rendered prompt, or null where they do not continue it (another role answers).</summary>
    /// <exception cref="ChatException">As <see cref="RenderPrompt"/>.</exception>
    public string? RenderCompletion(IReadOnlyList<ChatMessage> prompt, IReadOnlyList<ChatMessage> completion)
    {
        var opening = RenderPrompt(prompt);
        var whole = Render([.. prompt, .. completion], opens: false);
        return whole.StartsWith(opening, StringComparison.Ordinal) ? whole[opening.Length..] : null;
    }

    private string FindTurnEnd()
    {
        try
        {
            var text = Render([new("user", "q"), new(Assistant, Mark)], opens: false);
            return text.Contains(Mark, StringComparison.Ordinal) ? text[(text.LastIndexOf(Mark, StringComparison.Ordinal) + Mark.Length)..] : "";
        }
        catch (ChatException)
        {
            return "";
        }
    }

    private string Render(IReadOnlyList<ChatMessage> messages, bool opens)
    {
        var turns = messages.Select(static m => (object?)new Dictionary<string, object?> { ["role"] = m.Role, ["content"] = m.Content }).ToList();
        try
        {
            var text = _jinja.Value.Render([("messages", turns), ("add_generation_prompt", opens), ("bos_token", _bos), ("eos_token", _eos)]);
            return _encodingAddsBos && _bos.Length > 0 && text.StartsWith(_bos, StringComparison.Ordinal) ? text[_bos.Length..] : text;
        }
        catch (JinjaException e)
        {
            throw new ChatException($"the template {Name} does not take the conversation ({e.Message})");
        }
    }
}
