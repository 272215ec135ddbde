using System.Text;

namespace TinyDpo.Dpo;

/// <summary>A line of a chart.</summary>
internal sealed record ChartLine(string Name, IReadOnlyList<(double X, double Y)> Points);

/// <summary>A chart of lines as SVG, whose marks show their values under the pointer and when focused.</summary>
internal static class LineChart
{
    private const int Width = 420, Height = 220, Left = 58, Right = 12, Top = 12, Bottom = 34;

    // More points than pixels say nothing more: each is then the mean of as many steps.
    private const int MostPoints = 300;

    // Beyond these, differences of doubles overflow or vanish: what is larger is drawn at the edge, what differs less as level.
    private const double Largest = 1e307, Narrowest = 1e-300;

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
        var (x0, x1) = Extent(all.Select(static p => p.X));
        var (y0, y1) = Extent(all.Select(static p => p.Y));
        var svg = new StringBuilder();
        svg.Append($"<figure><figcaption>{Html.Escape(title)}</figcaption><svg viewBox=\"0 0 {Width} {Height}\" role=\"group\" aria-label=\"{Html.Escape(title)}\">");
        foreach (var y in Ticks(y0, y1))
        {
            svg.Append($"<line class=\"grid\" x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{Y(y)}\" y2=\"{Y(y)}\"/>");
            svg.Append($"<text class=\"tick\" x=\"{Left - 6}\" y=\"{Y(y)}\" dy=\"4\" text-anchor=\"end\">{Html.Number(y)}</text>");
        }
        foreach (var x in Ticks(x0, x1))
        {
            svg.Append($"<text class=\"tick\" x=\"{X(x)}\" y=\"{Height - Bottom + 16}\" text-anchor=\"middle\">{Html.Number(x)}</text>");
        }
        svg.Append($"<text class=\"tick\" x=\"{(Left + Width - Right) / 2}\" y=\"{Height - 3}\" text-anchor=\"middle\">{Html.Escape(axis)}</text>");
        for (var i = 0; i < drawn.Count; i++)
        {
            svg.Append($"<polyline class=\"s{i % ReportStyle.Colours}\" points=\"{string.Join(' ', drawn[i].Points.Select(p => $"{X(p.X)},{Y(p.Y)}"))}\"/>");
        }
        for (var i = 0; i < drawn.Count; i++)
        {
            foreach (var p in Spread(drawn[i].Points, marks))
            {
                var text = Html.Escape($"{drawn[i].Name}, {axis} {Html.Number(p.X)}: {Html.Number(p.Y)}");
                svg.Append($"<g class=\"mark s{i % ReportStyle.Colours}\" tabindex=\"0\" role=\"img\" aria-label=\"{text}\"><circle cx=\"{X(p.X)}\" cy=\"{Y(p.Y)}\" r=\"3\"/>");
                svg.Append($"<text class=\"tip\" x=\"{Left + 6}\" y=\"{Top + 12}\">{text}</text></g>");
            }
        }
        svg.Append("</svg><ul class=\"legend\">");
        for (var i = 0; i < drawn.Count; i++)
        {
            svg.Append($"<li><span class=\"key s{i % ReportStyle.Colours}\"></span>{Html.Escape(drawn[i].Name)}</li>");
        }
        return svg.Append("</ul></figure>\n").ToString();

        string X(double value) => Html.Pixels(Left + (Share(value, x0, x1) * (Width - Left - Right)));
        string Y(double value) => Html.Pixels(Height - Bottom - (Share(value, y0, y1) * (Height - Top - Bottom)));
    }

    // A range of no width would divide by zero.
    private static (double Low, double High) Extent(IEnumerable<double> values)
    {
        var (low, high) = (Math.Clamp(values.Min(), -Largest, Largest), Math.Clamp(values.Max(), -Largest, Largest));
        return high - low > Narrowest ? (low, high) : (low - Math.Max(Math.Abs(low), 1) / 2, low + Math.Max(Math.Abs(low), 1) / 2);
    }

    private static double Share(double value, double low, double high) => (Math.Clamp(value, low, high) - low) / (high - low);

    // The multiples of 1, 2 or 5 times a power of ten within the range, three to seven of them.
    private static IEnumerable<double> Ticks(double low, double high)
    {
        var least = (high - low) / 6;
        var power = Math.Pow(10, Math.Floor(Math.Log10(least)));
        var step = power * (least <= power ? 1 : least <= 2 * power ? 2 : least <= 5 * power ? 5 : 10);
        var first = Math.Ceiling((low / step) - 1e-9);
        for (var i = 0; first + i <= (high / step) + 1e-9; i++)
        {
            yield return (first + i) * step;
        }
    }

    private static IReadOnlyList<(double X, double Y)> Thinned(List<(double X, double Y)> points) => points.Count <= MostPoints
        ? points
        : [.. points.Chunk((points.Count + MostPoints - 1) / MostPoints).Select(static c => (c.Sum(p => p.X / c.Length), c.Sum(p => p.Y / c.Length)))];

    private static IEnumerable<(double X, double Y)> Spread(IReadOnlyList<(double X, double Y)> points, int marks) => points.Count <= marks
        ? points
        : Enumerable.Range(0, marks).Select(i => points[(int)((long)i * (points.Count - 1) / (marks - 1))]);
}
