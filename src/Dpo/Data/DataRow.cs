using System.Text.Json;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>One row of a data file: reads its keys and makes tokens of them. Every complaint names file, line, key and remedy.</summary>
/// <param name="template">That of all rows of the file: <see cref="PreferenceDataOptions.TemplateFor"/>.</param>
internal sealed class DataRow(
    string file, int line, JsonElement row, ITokenizer? tokenizer, PreferenceDataOptions options, Lazy<ChatTemplate> template)
{
    public int Line => line;

    public bool Has(string key) => row.TryGetProperty(key, out _);

    /// <summary>Whether a key holds something to read: a string that is not blank, or a list that is not empty.</summary>
    public bool HasText(string key) => row.TryGetProperty(key, out var value) && value.ValueKind switch
    {
        JsonValueKind.String => !string.IsNullOrWhiteSpace(String(value, key)),
        JsonValueKind.Array => value.GetArrayLength() > 0,
        _ => false,
    };

    /// <summary>Whether a key holds text that is in none of <paramref name="texts"/>.</summary>
    public bool HoldsMore(string key, IEnumerable<string> texts) =>
        HasText(key) && (IsConversation(key) || !texts.Any(text => text.Contains(Text(key).Trim(), StringComparison.Ordinal)));

    public bool IsConversation(string key) =>
        row.TryGetProperty(key, out var value) && value.ValueKind is JsonValueKind.Array or JsonValueKind.Object;

    public string Text(string key)
    {
        var value = Value(key);
        return value.ValueKind == JsonValueKind.String
            ? String(value, key)
            : throw Error($"'{key}' is {Describe(value)}, not a string", $"make '{key}' a string, as the row's other texts are");
    }

    /// <summary>The strings of a list that are not blank, never none.</summary>
    public string[] Texts(string key)
    {
        var value = Value(key);
        if (value.ValueKind != JsonValueKind.Array)
        {
            throw Error($"'{key}' is {Describe(value)}, not a list of strings", $"make '{key}' a list of strings");
        }
        string[] texts =
        [
            .. value.EnumerateArray().Select(item => item.ValueKind == JsonValueKind.String
                ? String(item, key)
                : throw Error($"'{key}' holds {Describe(item)}, not strings alone", $"make '{key}' a list of strings"))
                .Where(static text => !string.IsNullOrWhiteSpace(text)),
        ];
        return texts.Length > 0 ? texts : throw Error($"'{key}' holds no text", "give it text, or remove the row");
    }

    public bool Truth(string key)
    {
        var value = Value(key);
        return value.ValueKind is JsonValueKind.True or JsonValueKind.False
            ? value.GetBoolean()
            : throw Error($"'{key}' is {Describe(value)}, not true or false", $"make '{key}' true for a desirable completion, false for another");
    }

    /// <summary>A list of messages, or one by itself, as LLaMA-Factory has its completions.</summary>
    public ChatMessage[] Messages(string key)
    {
        var value = Value(key);
        if (value.ValueKind == JsonValueKind.Object)
        {
            return [Message(value, key)];
        }
        if (value.ValueKind != JsonValueKind.Array)
        {
            throw Error($"'{key}' is {Describe(value)}, not a list of messages",
                $"make '{key}' a list of messages, as the row's others are");
        }
        return value.GetArrayLength() > 0
            ? [.. value.EnumerateArray().Select(message => Message(message, key))]
            : throw Error($"'{key}' has no message", """give at least one {"role": ..., "content": ...}""");
    }

    /// <summary>Token ids as they are, each within the vocabulary; never none.</summary>
    public int[] Ids(string key)
    {
        var value = Value(key);
        if (value.ValueKind != JsonValueKind.Array)
        {
            throw Error($"'{key}' is {Describe(value)}, not a list of token ids", $"make '{key}' a list of whole numbers");
        }
        var ids = new int[value.GetArrayLength()];
        var position = 0;
        foreach (var item in value.EnumerateArray())
        {
            if (item.ValueKind != JsonValueKind.Number || !item.TryGetInt32(out ids[position]))
            {
                throw Error($"'{key}' holds {Quoted.Text(item.GetRawText())} at position {position}, which is no token id", "use whole numbers from 0");
            }
            position++;
        }
        return ids.Length > 0
            ? WithinVocabulary(ids, key)
            : throw Error($"'{key}' is empty", "give at least one token id, or remove the row");
    }

    /// <summary>A prompt's ids, the tokenizer's beginning-of-sequence id in front.</summary>
    public int[] EncodePrompt(string text)
    {
        var ids = Tokenizer.Encode(text);
        if (ids.Length == 0)
        {
            ids = Tokenizer.BosId is { } bos
                ? [bos]
                : throw Error("the prompt is empty, and the tokenizer has no beginning-of-sequence token to stand for it",
                    "give the row a prompt (two completions without one must begin alike)");
        }
        return WithinVocabulary(ids, "prompt");
    }

    /// <summary>A completion's own ids and the end-of-sequence id, exactly once.</summary>
    public int[] EncodeCompletion(string key, string text)
    {
        var ids = Tokenizer.EncodeContinuation(text).AsSpan().TrimEnd(Tokenizer.EosId);
        return ids.Length > 0
            ? WithinVocabulary([.. ids, Tokenizer.EosId], key)
            : throw Error($"'{key}' is an empty completion", "give it text, or remove the row");
    }

    /// <summary>
    /// A whole text: its first token is the prompt, for nothing predicts it; the rest and the end-of-sequence id are the completion.
    /// </summary>
    public (int[] Prompt, int[] Completion) EncodeText(string key)
    {
        var ids = Tokenizer.Encode(Text(key)).AsSpan().TrimEnd(Tokenizer.EosId);
        return ids.Length > (Tokenizer.BosId is null ? 0 : 1)
            ? (WithinVocabulary([ids[0]], key), WithinVocabulary([.. ids[1..], Tokenizer.EosId], key))
            : throw Error($"'{key}' is empty", "give it text, or remove the row");
    }

    /// <summary>The text of a prompt of messages.</summary>
    public string RenderPrompt(IReadOnlyList<ChatMessage> messages)
    {
        var text = Rendered(template => template.RenderPrompt(messages))!;
        // Where the end of a sequence stands between turns, as with Llama 2 and Mistral: as text it would be no end.
        var end = Tokenizer.EosText;
        return end.Length == 0 || !text.Contains(end, StringComparison.Ordinal) || !Template.TurnEnd.Contains(end, StringComparison.Ordinal)
            || Tokenizer.EncodeContinuation(end) is [var id] && id == Tokenizer.EosId
            ? text
            : throw Error($"has several turns, between which the template {Template.Name} puts {end}, but the tokenizer reads that as text",
                "set split_special_tokens to false in tokenizer_config.json");
    }

    /// <summary>The completion's text behind a prompt of messages.</summary>
    public string RenderCompletion(string key, IReadOnlyList<ChatMessage> prompt, IReadOnlyList<ChatMessage> completion)
    {
        if (completion.All(m => m.Content.Length == 0))
        {
            throw Error($"'{key}' is an empty completion", "give its messages content, or remove the row");
        }
        var text = Rendered(template => template.RenderCompletion(prompt, completion))
            ?? throw (completion[0].Role == "assistant"
                ? Error($"'{key}': the template {Template.Name} renders an answer otherwise than behind its prompt", "give another --chat-template")
                : Error($"'{key}' answers with the role {Quoted.Name(completion[0].Role)}", "let the first message after the prompt be the assistant's"));
        // An end of sequence is put there in any case, and nothing stands behind it.
        var turnEnd = Template.TurnEnd;
        var end = Tokenizer.EosText.Length > 0 ? turnEnd.IndexOf(Tokenizer.EosText, StringComparison.Ordinal) : -1;
        return end >= 0 && text.EndsWith(turnEnd, StringComparison.Ordinal) ? text[..^(turnEnd.Length - end)] : text;
    }

    /// <summary>Cuts prompt and completions to the limits; null, with the reason, where no room is left for a completion.</summary>
    public (int[] Prompt, int[][] Completions, bool Cut)? Fit(int[] prompt, int[][] completions, out string reason)
    {
        reason = "";
        var whole = prompt.Length;
        prompt = FitPrompt(prompt);
        var room = (options.MaxLength ?? int.MaxValue) - prompt.Length;
        var cut = prompt.Length < whole || completions.Any(c => c.Length > room);
        if (cut && options.Strict)
        {
            var longest = completions.Max(c => c.Length);
            throw Error($"has {whole} prompt tokens and up to {longest} completion tokens, over the limit of {options.MaxLength}",
                "shorten the row or delete it");
        }
        if (room < 1)
        {
            reason = $"its prompt of {prompt.Length} tokens leaves no room for a completion within {options.MaxLength}";
            return null;
        }
        return (prompt, [.. completions.Select(c => c.Length > room ? c[..room] : c)], cut);
    }

    /// <summary>Cuts a prompt to its limit, from the left; a beginning-of-sequence token stays.</summary>
    public int[] FitPrompt(int[] prompt)
    {
        if (options.MaxPromptLength is not { } most || prompt.Length <= most)
        {
            return prompt;
        }
        if (options.Strict)
        {
            throw Error($"has {prompt.Length} prompt tokens, over the limit of {most}",
                "shorten the row or delete it");
        }
        return tokenizer?.BosId == prompt[0] ? [prompt[0], .. prompt[^(most - 1)..]] : prompt[^most..];
    }

    public InputException Error(string problem, string remedy) => new(file, $"line {line}", problem, remedy);

    private ChatTemplate Template
    {
        get
        {
            _ = Tokenizer; // without one that is the complaint
            try
            {
                return template.Value;
            }
            catch (ChatException e)
            {
                throw Error($"is a conversation, but the tokenizer's chat_template cannot be followed ({e.Message})",
                    $"give --chat-template {string.Join('|', ChatTemplate.All.Select(static t => t.Name))}");
            }
        }
    }

    private string? Rendered(Func<ChatTemplate, string?> render)
    {
        try
        {
            return render(Template);
        }
        catch (ChatException e)
        {
            throw Error(e.Message, "change the conversation, or give another --chat-template");
        }
    }

    private ITokenizer Tokenizer =>
        tokenizer ?? throw Error("holds text, but there is no tokenizer", "give a tokenizer, or rows of token ids");

    private ChatMessage Message(JsonElement message, string key)
    {
        if (message.ValueKind == JsonValueKind.Object &&
            message.TryGetProperty("role", out var role) && role.ValueKind == JsonValueKind.String &&
            message.TryGetProperty("content", out var content) && content.ValueKind == JsonValueKind.String)
        {
            return new ChatMessage(String(role, key), String(content, key));
        }
        // ShareGPT's and LLaMA-Factory's.
        if (message.ValueKind == JsonValueKind.Object &&
            message.TryGetProperty("from", out var from) && from.ValueKind == JsonValueKind.String &&
            message.TryGetProperty("value", out var value) && value.ValueKind == JsonValueKind.String)
        {
            return new ChatMessage(String(from, key) switch { "human" => "user", "gpt" => "assistant", var other => other }, String(value, key));
        }
        throw Error($"'{key}' holds a message that is not a role and a content, both strings",
            """write {"role": "user", "content": "..."}""");
    }

    private JsonElement Value(string key) =>
        row.TryGetProperty(key, out var value) ? value : throw Error($"has no '{key}'", $"add '{key}' to the row");

    private string String(JsonElement value, string key)
    {
        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw Error($"'{key}' is not valid Unicode (half of a surrogate pair)", "write whole characters");
        }
    }

    private int[] WithinVocabulary(int[] ids, string key)
    {
        var size = options.VocabSize ?? tokenizer?.VocabSize ?? int.MaxValue;
        foreach (var id in ids)
        {
            if (id < 0 || id >= size)
            {
                var range = size == int.MaxValue ? "ids start at 0" : $"the vocabulary is 0 to {size - 1}";
                throw Error($"'{key}' holds the token id {id}, but {range}", "use the model's own tokenizer");
            }
        }
        return ids;
    }

    private static string Describe(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Array => "a list",
        JsonValueKind.Object => "an object",
        JsonValueKind.Null => "null",
        JsonValueKind.Number => "a number",
        JsonValueKind.String => "a string",
        _ => "a truth value",
    };
}
