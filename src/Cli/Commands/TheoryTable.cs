using System.Globalization;
using Spectre.Console;
using TinyDpo.Dpo;

namespace TinyDpo.Cli;

/// <summary>The claims of the theory as a table.</summary>
internal static class TheoryTable
{
    private const int FileWidth = 160;

    public static void Print(IReadOnlyList<Claim> claims, TheoryOptions options)
    {
        var table = new Table().RoundedBorder()
            .AddColumn("claim").AddColumn(new TableColumn("equation").NoWrap())
            .AddColumn(new TableColumn("measured").RightAligned()).AddColumn(new TableColumn("bound").RightAligned().NoWrap()).AddColumn("");
        foreach (var claim in claims)
        {
            table.AddRow(
                new Text(claim.Text), new Text(claim.Equation), new Text(Number(claim.Measured)),
                new Text((claim.AtLeast ? ">= " : "<= ") + Number(claim.Bound)), new Text(claim.Holds ? "holds" : "FAILS"));
        }
        if (Console.IsOutputRedirected)
        {
            AnsiConsole.Profile.Width = FileWidth; // a file has no width of its own
        }
        AnsiConsole.Write(table);
        Console.WriteLine(FormattableString.Invariant(
            $"{claims.Count(static c => c.Holds)} of {claims.Count} claims hold (vocabulary {options.Vocabulary}, length {options.Length}, beta {options.Beta}, seed {options.Seed}; arXiv 2305.18290)."));
    }

    private static string Number(double value) => value.ToString(value == 0 || Math.Abs(value) is >= 0.01 and < 1000 ? "0.###" : "0.0e+0", CultureInfo.InvariantCulture);
}
