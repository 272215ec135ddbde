using System.Globalization;
using Spectre.Console;
using TinyDpo.Dpo;

namespace TinyDpo.Cli;

/// <summary>Explanations as tables: a row a pair, then a row a token where tokens were taken apart.</summary>
internal static class ExplainTable
{
    private const int FileWidth = 160;

    public static void Print(IReadOnlyList<PairExplanation> pairs, ExplanationSummary summary)
    {
        if (Console.IsOutputRedirected)
        {
            AnsiConsole.Profile.Width = FileWidth; // a file has no width of its own
        }
        var table = New(
            "line", "reward w", "reward l", "margin", "weight", "|grad w|", "|grad l|", "cosine", "|grad loss|", "first order w", "change w",
            "first order l", "change l");
        foreach (var p in pairs)
        {
            AddRow(
                table, p.Line.ToString(CultureInfo.InvariantCulture), Number(p.Score.ChosenReward), Number(p.Score.RejectedReward),
                Number(p.Score.Margin), Number(p.Weight), Number(p.ChosenGradientNorm), Number(p.RejectedGradientNorm), Number(p.Cosine),
                Number(p.GradientNorm), Number(p.PredictedChosen), Number(p.MeasuredChosen), Number(p.PredictedRejected),
                Number(p.MeasuredRejected));
        }
        AnsiConsole.Write(table);
        foreach (var tokens in pairs.Select(static p => p.Tokens).OfType<IReadOnlyList<TokenExplanation>>())
        {
            AnsiConsole.Write(OfTokens(tokens));
        }
        Console.WriteLine(FormattableString.Invariant(
            $"{summary.Pairs} pairs; the largest tenth holds {summary.TopTenthShare:P1} of the gradient's norm, {summary.PairsWithHalf} hold half; the chosen log-prob falls in {summary.PredictedFalls} to first order, fell in {summary.MeasuredFalls}."));
    }

    private static Table OfTokens(IReadOnlyList<TokenExplanation> tokens)
    {
        var table = New("completion", "token", "text", "log pi", "log pi_ref", "|grad|", "share");
        foreach (var t in tokens)
        {
            AddRow(
                table, t.Completion, t.Token.ToString(CultureInfo.InvariantCulture), t.Text is null ? "" : JsonText(t.Text), Number(t.LogProb),
                Number(t.ReferenceLogProb), Number(t.GradientNorm), Number(t.Share));
        }
        return table;
    }

    private static Table New(params string[] columns)
    {
        var table = new Table().RoundedBorder();
        foreach (var column in columns)
        {
            table.AddColumn(new TableColumn(column).RightAligned());
        }
        return table;
    }

    private static void AddRow(Table table, params string[] cells) => table.AddRow(cells.Select(static c => new Text(c)));

    // A token may be a line end.
    private static string JsonText(string text) => System.Text.Json.JsonSerializer.Serialize(text);

    private static string Number(double? value) =>
        value is { } v ? v.ToString(v == 0 || Math.Abs(v) is >= 0.01 and < 1000 ? "0.####" : "0.00e+0", CultureInfo.InvariantCulture) : "-";
}
