using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>
/// One preference: token ids of the prompt and of the two completions. An unpaired row, a completion that is desirable or not, has it as
/// Chosen or as Rejected and the other empty; else none is.
/// </summary>
/// <param name="Line">The row's line in its file, from 1.</param>
public sealed record PreferencePair(int Line, int[] Prompt, int[] Chosen, int[] Rejected)
{
    public bool IsUnpaired => Chosen.Length == 0 || Rejected.Length == 0;
}

/// <summary>
/// Preference data from JSON Lines or a JSON list. A row holds strings {prompt, chosen, rejected}; or {chosen, rejected} with the prompt
/// inside them, which in transcripts as of HH-RLHF ends with the last "\n\nAssistant:"; or either with lists of messages {role, content}
/// instead of strings, rendered by the <see cref="ChatTemplate"/>; or LLaMA-Factory's {conversations, chosen, rejected} with messages {from,
/// value}; or ids {prompt_ids, chosen_ids, rejected_ids}, taken as they are, which go before text in the same row. A row with a label, true or
/// false, is unpaired, as in TRL: {prompt, completion, label} or {prompt_ids, completion_ids, label}. Other keys are ignored, but for those
/// that hold the prompt elsewhere (<see cref="PromptKeys"/>). Prompt and completions of text are encoded apart and joined as ids.
/// </summary>
public static class PreferenceData
{
    private const string Remedy =
        "give each row prompt, chosen and rejected, or prompt_ids, chosen_ids and rejected_ids, or prompt, completion and label";

    /// <summary>Reads a file; its rows stay on the disk until they are asked for, and are to be disposed of.</summary>
    /// <exception cref="InputException">A row is malformed, a completion empty, an id outside the vocabulary; or no pair is
    /// left.</exception>
    public static (TokenRows<PreferencePair> Pairs, PreferenceSummary Summary) Read(
        string path, ITokenizer? tokenizer, PreferenceDataOptions? options = null)
    {
        var (unpaired, identical) = (0, 0);
        var (pairs, tally) = RowReader.Read(
            path, tokenizer, options ?? new(), Tokens, static (line, ids) => new PreferencePair(line, ids[0], ids[1], ids[2]), Count, "pairs", Remedy);
        return (pairs, new(tally) { Unpaired = unpaired, Identical = identical });

        void Count(PreferencePair pair)
        {
            unpaired += pair.IsUnpaired ? 1 : 0;
            identical += pair.Chosen.AsSpan().SequenceEqual(pair.Rejected) ? 1 : 0;
        }
    }

    private static (int[] Prompt, int[][] Completions) Tokens(DataRow row)
    {
        if (row.Has("label"))
        {
            var (context, completion) = SftData.Tokens(row);
            return (context, row.Truth("label") ? [completion, []] : [[], completion]);
        }
        var (prompt, chosen, rejected) = Pair(row);
        return (prompt, [chosen, rejected]);
    }

    /// <summary>The prompt and both completions of a row of a pair.</summary>
    internal static (int[] Prompt, int[] Chosen, int[] Rejected) Pair(DataRow row)
    {
        if (row.Has("chosen_ids") || row.Has("rejected_ids") || row.Has("prompt_ids"))
        {
            return (row.Ids("prompt_ids"), row.Ids("chosen_ids"), row.Ids("rejected_ids"));
        }
        foreach (var key in (string[])["chosen", "rejected"])
        {
            if (!row.Has(key))
            {
                throw row.Error($"has no '{key}'", Remedy);
            }
        }
        var (prompt, chosen, rejected) = row.IsConversation("chosen") || row.IsConversation("prompt") || HasConversations(row)
            ? Conversations(row)
            : Texts(row);
        return (row.EncodePrompt(prompt), row.EncodeCompletion("chosen", chosen), row.EncodeCompletion("rejected", rejected));
    }

    // Beside a prompt they are a column of no concern here.
    private static bool HasConversations(DataRow row) => row.Has("conversations") && !row.HasText("prompt");

    private static (string Prompt, string Chosen, string Rejected) Texts(DataRow row)
    {
        var (chosen, rejected) = (row.Text("chosen"), row.Text("rejected"));
        if (row.Has("prompt"))
        {
            return (row.Text("prompt"), chosen, rejected);
        }
        var length = ImplicitPrompt.OfTranscript(chosen, rejected) ?? ImplicitPrompt.Length(chosen, rejected);
        PromptKeys.RequireHeld(row, chosen[..length]);
        return (chosen[..length], chosen[length..], rejected[length..]);
    }

    private static (string Prompt, string Chosen, string Rejected) Conversations(DataRow row)
    {
        var (chosen, rejected) = (row.Messages("chosen"), row.Messages("rejected"));
        ChatMessage[] prompt;
        if (row.IsConversation("prompt"))
        {
            prompt = row.Messages("prompt");
        }
        else if (HasConversations(row))
        {
            prompt = row.Messages("conversations");
            PromptKeys.RequireSystemIn(row, prompt);
        }
        else
        {
            var length = ImplicitPrompt.Length(chosen, rejected);
            PromptKeys.RequireHeld(row, chosen[..length]);
            if (length == 0)
            {
                throw row.Error("'chosen' and 'rejected' share no message that could be the prompt", "give 'prompt' as a list of messages");
            }
            (prompt, chosen, rejected) = (chosen[..length], chosen[length..], rejected[length..]);
        }
        return (row.RenderPrompt(prompt),
            row.RenderCompletion("chosen", prompt, chosen),
            row.RenderCompletion("rejected", prompt, rejected));
    }
}
