using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>One example for supervised fine-tuning: the loss is taken on the completion's tokens. Neither part is empty.</summary>
/// <param name="Line">The row's line in its file, from 1.</param>
public sealed record SftExample(int Line, int[] Prompt, int[] Completion);

/// <summary>
/// Completions from JSON Lines: rows {prompt, completion} (strings or lists of messages), {prompt_ids, completion_ids}, or {text}. A text
/// is completion but for its first token (the beginning-of-sequence token, where the tokenizer has one), which nothing can predict.
/// Of a preference pair the chosen completion is learnt: Preferred-FT (Rafailov et al. 2023, section 6).
/// </summary>
public static class SftData
{
    private const string Remedy = "give each row prompt and completion, or text, or prompt_ids and completion_ids";

    /// <exception cref="InputException">A row is malformed, a completion empty, an id outside the vocabulary; or no example is
    /// left.</exception>
    public static (SftExample[] Examples, DataSummary Summary) Read(
        string path, ITokenizer? tokenizer, PreferenceDataOptions? options = null)
    {
        options ??= new();
        var examples = new List<SftExample>();
        var dropped = new List<DroppedRow>();
        int read = 0, truncated = 0;
        foreach (var (line, json) in TextLines.ReadJson(path))
        {
            read++;
            var row = new DataRow(path, line, json, tokenizer, options);
            var (prompt, completion) = Tokens(row);
            if (row.Fit(prompt, [completion], out var reason) is not { } fit)
            {
                dropped.Add(new(line, reason));
                continue;
            }
            truncated += fit.Cut ? 1 : 0;
            examples.Add(new(line, fit.Prompt, fit.Completions[0]));
        }
        if (examples.Count == 0)
        {
            throw read == 0
                ? new InputException(path, null, "has no usable examples: it has no rows", Remedy)
                : new InputException(path, null, $"has no usable examples among {read} rows (line {dropped[0].Line}: {dropped[0].Reason})",
                    "raise the limit of the length, or lower that of the prompt");
        }
        return ([.. examples], new()
        {
            Read = read,
            Kept = examples.Count,
            Dropped = dropped,
            Truncated = truncated,
            Longest = examples.Max(e => e.Prompt.Length + e.Completion.Length),
            MeanPrompt = examples.Average(e => e.Prompt.Length),
            MeanCompletion = examples.Average(e => e.Completion.Length),
        });
    }

    /// <summary>The prompt and the completion of a row.</summary>
    internal static (int[] Prompt, int[] Completion) Tokens(DataRow row)
    {
        if (!row.Has("label") && (row.Has("chosen") || row.Has("chosen_ids")))
        {
            var (context, chosen, _) = PreferenceData.Pair(row);
            return (context, chosen);
        }
        if (row.Has("completion_ids") || row.Has("prompt_ids"))
        {
            return (row.Ids("prompt_ids"), row.Ids("completion_ids"));
        }
        if (row.Has("completion"))
        {
            if (!row.IsConversation("completion"))
            {
                return (row.EncodePrompt(row.Text("prompt")), row.EncodeCompletion("completion", row.Text("completion")));
            }
            var prompt = row.Messages("prompt");
            var completion = row.RenderCompletion("completion", prompt, row.Messages("completion"));
            return (row.EncodePrompt(row.RenderPrompt(prompt)), row.EncodeCompletion("completion", completion));
        }
        return row.Has("text") ? row.EncodeText("text") : throw row.Error("has neither 'completion' nor 'text'", Remedy);
    }
}
