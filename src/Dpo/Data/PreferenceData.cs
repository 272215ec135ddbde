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
/// false, is unpaired, as in TRL: {prompt, completion, label} or {prompt_ids, completion_ids, label}. Other keys are ignored. Prompt and completions of text are encoded apart and joined as ids.
/// </summary>
public static class PreferenceData
{
    private const string Remedy =
        "give each row prompt, chosen and rejected, or prompt_ids, chosen_ids and rejected_ids, or prompt, completion and label";

    /// <exception cref="InputException">A row is malformed, a completion empty, an id outside the vocabulary; or no pair is
    /// left.</exception>
    public static (PreferencePair[] Pairs, PreferenceSummary Summary) Read(
        string path, ITokenizer? tokenizer, PreferenceDataOptions? options = null)
    {
        options ??= new();
        var pairs = new List<PreferencePair>();
        var dropped = new List<DroppedRow>();
        int read = 0, truncated = 0;
        foreach (var (line, json) in TextLines.ReadJson(path))
        {
            read++;
            var row = new DataRow(path, line, json, tokenizer, options);
            var (prompt, chosen, rejected) = Tokens(row);
            if (row.Fit(prompt, [chosen, rejected], out var reason) is not { } fit)
            {
                dropped.Add(new(line, reason));
                continue;
            }
            truncated += fit.Cut ? 1 : 0;
            pairs.Add(new(line, fit.Prompt, fit.Completions[0], fit.Completions[1]));
        }
        if (pairs.Count == 0)
        {
            throw read == 0
                ? new InputException(path, null, "has no usable pairs: it has no rows", Remedy)
                : new InputException(path, null, $"has no usable pairs among {read} rows (line {dropped[0].Line}: {dropped[0].Reason})",
                    "raise the limit of the length, or lower that of the prompt");
        }
        return ([.. pairs], new()
        {
            Read = read,
            Kept = pairs.Count,
            Dropped = dropped,
            Truncated = truncated,
            Longest = pairs.Max(p => p.Prompt.Length + Math.Max(p.Chosen.Length, p.Rejected.Length)),
            MeanPrompt = pairs.Average(p => p.Prompt.Length),
            MeanCompletion = MeanLength(pairs.SelectMany(p => new[] { p.Chosen, p.Rejected })),
            MeanChosen = MeanLength(pairs.Select(p => p.Chosen)),
            MeanRejected = MeanLength(pairs.Select(p => p.Rejected)),
            Unpaired = pairs.Count(p => p.IsUnpaired),
            Identical = pairs.Count(p => p.Chosen.AsSpan().SequenceEqual(p.Rejected)),
        });
    }

    private static double MeanLength(IEnumerable<int[]> completions) =>
        completions.Where(static c => c.Length > 0).Select(static c => (double)c.Length).DefaultIfEmpty().Average();

    private static (int[] Prompt, int[] Chosen, int[] Rejected) Tokens(DataRow row)
    {
        if (row.Has("label"))
        {
            var (context, completion) = SftData.Tokens(row);
            return row.Truth("label") ? (context, completion, []) : (context, [], completion);
        }
        return Pair(row);
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
        var (prompt, chosen, rejected) = row.IsConversation("chosen") || row.IsConversation("prompt") || row.Has("conversations")
            ? Conversations(row)
            : Texts(row);
        return (row.EncodePrompt(prompt), row.EncodeCompletion("chosen", chosen), row.EncodeCompletion("rejected", rejected));
    }

    private static (string Prompt, string Chosen, string Rejected) Texts(DataRow row)
    {
        var (chosen, rejected) = (row.Text("chosen"), row.Text("rejected"));
        if (row.Has("prompt"))
        {
            return (row.Text("prompt"), chosen, rejected);
        }
        var length = ImplicitPrompt.OfTranscript(chosen, rejected) ?? ImplicitPrompt.Length(chosen, rejected);
        return (chosen[..length], chosen[length..], rejected[length..]);
    }

    private static (string Prompt, string Chosen, string Rejected) Conversations(DataRow row)
    {
        var (chosen, rejected) = (row.Messages("chosen"), row.Messages("rejected"));
        ChatMessage[] prompt;
        // A string as prompt beside whole conversations only repeats their first turn: the prompt is what they share.
        if ((row.Has("conversations") ? "conversations" : row.IsConversation("prompt") ? "prompt" : null) is { } key)
        {
            prompt = row.Messages(key);
        }
        else
        {
            var length = ImplicitPrompt.Length(chosen, rejected);
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
