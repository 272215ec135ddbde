using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>Reads a data file row by row into <see cref="TokenRows{T}"/>: one row at a time is in memory.</summary>
internal static class RowReader
{
    /// <param name="path">The file.</param>
    /// <param name="tokenizer">For rows of text.</param>
    /// <param name="options">Limits, which rows are cut to.</param>
    /// <param name="tokens">A row's prompt and completions.</param>
    /// <param name="make">What a row is made into, from its line, its prompt and its completions.</param>
    /// <param name="kept">Told of each row kept: its prompt and completions.</param>
    /// <param name="what">What a file without a usable row does not hold.</param>
    /// <param name="remedy">What to write into an empty file.</param>
    /// <exception cref="InputException">A row is malformed; or none is left.</exception>
    public static (TokenRows<T> Rows, DataTally Tally) Read<T>(
        string path, ITokenizer? tokenizer, PreferenceDataOptions options, Func<DataRow, (int[] Prompt, int[][] Completions)> tokens,
        Func<int, int[][], T> make, Action<T>? kept, string what, string remedy)
    {
        var rows = new TokenRows<T>(options.ScratchFolder, make);
        var template = options.TemplateFor(tokenizer);
        try
        {
            var tally = new DataTally();
            foreach (var (line, json) in TextLines.ReadJson(path))
            {
                var row = new DataRow(path, line, json, tokenizer, options, template);
                var (prompt, completions) = tokens(row);
                if (row.Fit(prompt, completions, out var reason) is not { } fit)
                {
                    tally.Drop(new(line, reason));
                    continue;
                }
                tally.Keep(line, fit.Prompt, fit.Completions, fit.Cut);
                int[][] sequences = [fit.Prompt, .. fit.Completions];
                rows.Add(line, sequences);
                kept?.Invoke(make(line, sequences));
            }
            return rows.Count > 0 ? (rows, tally) : throw Unusable(path, tally, what, remedy);
        }
        catch
        {
            rows.Dispose();
            throw;
        }
    }

    private static InputException Unusable(string path, DataTally tally, string what, string remedy) => tally.Read == 0
        ? new InputException(path, null, $"has no usable {what}: it has no rows", remedy)
        : new InputException(
            path, null, $"has no usable {what} among {tally.Read} rows (line {tally.Dropped[0].Line}: {tally.Dropped[0].Reason})",
            "raise the limit of the length, or lower that of the prompt");
}
