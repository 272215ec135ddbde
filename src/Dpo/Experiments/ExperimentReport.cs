using System.Globalization;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>An experiment's figures: tables in Markdown, and a chart.</summary>
/// <param name="Name">As on the command line.</param>
/// <param name="Markdown">The tables.</param>
/// <param name="Chart">A figure with its caption; empty for none.</param>
public sealed record ExperimentReport(string Name, string Markdown, string Chart)
{
    /// <summary>Marks on a line of the chart.</summary>
    internal const int Marks = 12;

    /// <summary>Writes OUT/NAME.md and OUT/NAME.html.</summary>
    /// <exception cref="InputException">They cannot be written.</exception>
    public void Write(string folder)
    {
        AtomicFile.WriteText(Path.Combine(folder, Name + ".md"), Markdown);
        AtomicFile.WriteText(
            Path.Combine(folder, Name + ".html"),
            $"{ReportStyle.Head(refresh: null)}<h1>TinyDpo: {Name}</h1>\n<main id=\"main\">\n{Chart}<pre>{Html.Escape(Markdown)}</pre>\n</main></body></html>\n");
    }

    /// <summary>A table in Markdown.</summary>
    internal static string Table(IReadOnlyList<string> header, IEnumerable<IReadOnlyList<string>> rows)
    {
        return string.Concat([Row(header), Row([.. header.Select(static _ => "---")]), .. rows.Select(Row)]);

        static string Row(IReadOnlyList<string> cells) => $"| {string.Join(" | ", cells)} |\n";
    }

    internal static string Number(double value) => value.ToString("0.###", CultureInfo.InvariantCulture);

    // The end of an interval may lie where no share can.
    internal static string Percent(double value) => (100 * Math.Clamp(value, 0, 1)).ToString("0.0", CultureInfo.InvariantCulture) + " %";

    /// <summary>
    /// A mean with its 95 % interval: over seeds where there are several; else that of the one seed's own observations.
    /// </summary>
    /// <param name="seeds">A mean and its interval each, at least one.</param>
    internal static string WithInterval(IReadOnlyList<Interval> seeds, Func<double, string> format)
    {
        var interval = seeds.Count > 1 ? Statistics.MeanOfFew([.. seeds.Select(static s => s.Estimate)]) : seeds[0];
        return $"{format(interval.Estimate)} ({format(interval.Low)} to {format(interval.High)})";
    }
}
