namespace TinyDpo.Dpo;

/// <summary>
/// The keys under which other projects have a prompt or a part of it (orca_dpo_pairs, LLaMA-Factory's alpaca form). They are not read; a
/// row in which one holds what the prompt does not is refused, for it would be learnt without its question.
/// </summary>
internal static class PromptKeys
{
    private static readonly string[] s_others = ["system", "instruction", "question", "input"];

    /// <summary>Checks a row whose prompt is the text that its completions share.</summary>
    /// <exception cref="Models.InputException">A key holds more than that.</exception>
    public static void RequireHeld(DataRow row, string prompt) => Require(row, s_others, _ => [prompt]);

    /// <summary>Checks a row whose prompt is the messages that its completions share.</summary>
    /// <exception cref="Models.InputException">A key, or a string as prompt, holds more than those.</exception>
    public static void RequireHeld(DataRow row, IReadOnlyList<ChatMessage> prompt)
    {
        // A string beside whole conversations may repeat one of their turns, but not add to them.
        if (row.HasText("prompt"))
        {
            if (row.HoldsMore("prompt", Turns("prompt")))
            {
                throw row.Error("'prompt' is a string that no message shared by 'chosen' and 'rejected' holds", "give 'prompt' as a list of messages");
            }
            return;
        }
        Require(row, s_others, Turns);

        IEnumerable<string> Turns(string key) => prompt.Where(m => key == "system" || m.Role != "system").Select(static m => m.Content);
    }

    /// <summary>Checks LLaMA-Factory's conversations, beside which the system's message may stand.</summary>
    /// <exception cref="Models.InputException">It does.</exception>
    public static void RequireSystemIn(DataRow row, IReadOnlyList<ChatMessage> conversations)
    {
        if (row.HoldsMore("system", conversations.Select(static m => m.Content)))
        {
            throw row.Error("has 'system' beside 'conversations'", """make it their first message, {"from": "system", "value": "..."}""");
        }
    }

    private static void Require(DataRow row, string[] keys, Func<string, IEnumerable<string>> texts)
    {
        var more = keys.Where(key => row.HoldsMore(key, texts(key))).ToArray();
        if (more.Length > 0)
        {
            throw row.Error($"has {string.Join(" and ", more.Select(static key => $"'{key}'"))} but no 'prompt'", more switch
            {
                ["system"] => "put it first in 'chosen' and in 'rejected', or give the row a 'prompt'",
                [var key] => $"rename '{key}' to 'prompt'",
                _ => "join them in one 'prompt'",
            });
        }
    }
}
