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

    /// <summary>Reads a file; its rows stay on the disk until they are asked for, and are to be disposed of.</summary>
    /// <exception cref="InputException">A row is malformed, a completion empty, an id outside the vocabulary; or no example is
    /// left.</exception>
    public static (TokenRows<SftExample> Examples, DataSummary Summary) Read(
        string path, ITokenizer? tokenizer, PreferenceDataOptions? options = null)
    {
        var (examples, tally) = RowReader.Read(
            path, tokenizer, options ?? new(), Parts, static (line, ids) => new SftExample(line, ids[0], ids[1]), kept: null, "examples", Remedy);
        return (examples, new(tally));

        static (int[] Prompt, int[][] Completions) Parts(DataRow row)
        {
            var (prompt, completion) = Tokens(row);
            return (prompt, [completion]);
        }
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
