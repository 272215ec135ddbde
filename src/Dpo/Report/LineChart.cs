namespace TinyDpo.Dpo;

/// <summary>A line of a chart.</summary>
internal sealed record ChartLine(string Name, IReadOnlyList<(double X, double Y)> Points);

/// <summary>A chart of lines as SVG, whose marks show their values under the pointer and when focused.</summary>
internal static class LineChart
{
    // More points than pixels say nothing more: each is then the mean of as many steps.
    private const int MostPoints = 300;

    /// <summary>A figure with caption and legend.</summary>
    /// <param name="title">The caption, which also names the chart to a screen reader.</param>
    /// <param name="axis">What x counts.</param>
    /// <param name="lines">At least one, each with a point or more; those that are not finite are left out.</param>
    /// <param name="marks">Marks a line, spread evenly over its points.</param>
    public static string Draw(string title, string axis, IReadOnlyList<ChartLine> lines, int marks)
    {
        var drawn = lines.Select(static l => l with { Points = Thinned([.. l.Points.Where(static p => double.IsFinite(p.X) && double.IsFinite(p.Y))]) }).ToList();
        var all = drawn.SelectMany(static l => l.Points).ToList();
        if (all.Count == 0)
        {
            return "";
        }
        var frame = new ChartFrame(title, axis, all.Select(static p => p.X), all.Select(static p => p.Y));
        for (var i = 0; i < drawn.Count; i++)
        {
            frame.Append($"<polyline class=\"s{i % ReportStyle.Colours}\" points=\"{string.Join(' ', drawn[i].Points.Select(p => $"{frame.X(p.X)},{frame.Y(p.Y)}"))}\"/>");
        }
        for (var i = 0; i < drawn.Count; i++)
        {
            foreach (var p in Spread(drawn[i].Points, marks))
            {
                frame.Mark(i, $"{drawn[i].Name}, {axis} {Html.Number(p.X)}: {Html.Number(p.Y)}", $"<circle cx=\"{frame.X(p.X)}\" cy=\"{frame.Y(p.Y)}\" r=\"3\"/>");
            }
        }
        return frame.Close(drawn.Select(static l => l.Name));
    }

    private static IReadOnlyList<(double X, double Y)> Thinned(List<(double X, double Y)> points) => points.Count <= MostPoints
        ? points
        : [.. points.Chunk((points.Count + MostPoints - 1) / MostPoints).Select(static c => (c.Sum(p => p.X / c.Length), c.Sum(p => p.Y / c.Length)))];

    private static IEnumerable<(double X, double Y)> Spread(IReadOnlyList<(double X, double Y)> points, int marks) => points.Count <= marks
        ? points
        : Enumerable.Range(0, marks).Select(i => points[(int)((long)i * (points.Count - 1) / (marks - 1))]);
}
