using System.Text.Json;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>One prompt to generate from.</summary>
/// <param name="Line">The prompt's line in its file, from 1.</param>
/// <param name="Text">Its text as encoded (a conversation by its template), or null for a row of ids.</param>
/// <param name="Ids">Its tokens, never none.</param>
public sealed record PromptExample(int Line, string? Text, int[] Ids);

/// <summary>
/// Prompts: a .txt file with one a line (blank lines are skipped), or JSON Lines of {prompt} (string or messages) or {prompt_ids}.
/// </summary>
public static class PromptData
{
    /// <exception cref="InputException">A row is malformed, an id outside the vocabulary; or there is no prompt.</exception>
    public static PromptExample[] Read(string path, ITokenizer? tokenizer, PreferenceDataOptions? options = null)
    {
        options ??= new();
        var rows = path.EndsWith(".txt", StringComparison.OrdinalIgnoreCase) ? TextRows(path) : TextLines.ReadJson(path);
        var template = options.TemplateFor(tokenizer);
        var prompts = rows.Select(r => Example(new DataRow(path, r.Line, r.Row, tokenizer, options, template))).ToArray();
        return prompts.Length > 0
            ? prompts
            : throw new InputException(path, null, "holds no prompt",
                """give rows {"prompt": "..."}, or a .txt file with one prompt a line""");
    }

    private static IEnumerable<(int Line, JsonElement Row)> TextRows(string path) =>
        from line in TextLines.Read(path)
        where !string.IsNullOrWhiteSpace(line.Text)
        select (line.Line, JsonSerializer.SerializeToElement(new { prompt = line.Text }));

    private static PromptExample Example(DataRow row)
    {
        if (row.Has("prompt_ids"))
        {
            return new(row.Line, null, row.FitPrompt(row.Ids("prompt_ids")));
        }
        if (!row.Has("prompt"))
        {
            throw row.Error("has neither 'prompt' nor 'prompt_ids'", "add one of them to the row");
        }
        var text = row.IsConversation("prompt") ? row.RenderPrompt(row.Messages("prompt")) : row.Text("prompt");
        return new(row.Line, text, row.FitPrompt(row.EncodePrompt(text)));
    }
}
