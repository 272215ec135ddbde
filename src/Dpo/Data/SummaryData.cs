using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>A text and summaries of it by people.</summary>
/// <param name="Line">The row's line in its file, from 1.</param>
/// <param name="Source">Its sentences, at least one.</param>
/// <param name="Targets">The summaries, at least one.</param>
public sealed record SummaryExample(int Line, string[] Source, string[] Targets)
{
    /// <summary>The sentences with a space between.</summary>
    public string Text => string.Join(' ', Source);
}

/// <summary>Texts with their summaries from JSON Lines as SciTLDR has them (Cachola et al. 2020): {source: [sentences], target: [summaries]}.</summary>
public static class SummaryData
{
    /// <exception cref="InputException">The file cannot be read, or a row is malformed; or there are fewer than <paramref name="least"/>.</exception>
    public static SummaryExample[] Read(string path, int least = 1)
    {
        var options = new PreferenceDataOptions();
        var template = options.TemplateFor(null);
        SummaryExample[] examples =
        [
            .. TextLines.ReadJson(path).Select(r => new DataRow(path, r.Line, r.Row, tokenizer: null, options, template))
                .Select(static row => new SummaryExample(row.Line, row.Texts("source"), row.Texts("target"))),
        ];
        return examples.Length >= least
            ? examples
            : throw new InputException(
                path, null, $"has too few rows, {examples.Length} of the {least} that are needed", """give rows {"source": ["a sentence", ...], "target": ["a summary", ...]}""");
    }
}
