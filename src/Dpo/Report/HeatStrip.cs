namespace TinyDpo.Dpo;

/// <summary>A histogram over time as SVG: a column a step, or of neighbouring steps the mean; a cell a bin.</summary>
internal static class HeatStrip
{
    // Columns drawn, and bands of them that show their largest bins under the pointer and when focused.
    private const int MostColumns = 96, MostBands = 16, ShownBins = 3;

    /// <summary>A figure with caption and legend.</summary>
    /// <param name="title">The caption.</param>
    /// <param name="axis">What x counts.</param>
    /// <param name="legend">What the shades mean.</param>
    /// <param name="steps">By x, rising: of each bin of [0, 1], which all have one width, its share of the whole.</param>
    public static string Draw(string title, string axis, string legend, IReadOnlyList<(double X, double[] Shares)> steps)
    {
        if (steps.Count == 0)
        {
            return "";
        }
        var frame = new ChartFrame(title, axis, [steps[0].X, steps[^1].X + 1], [0, 1]);
        foreach (var (from, to, shares) in Means(steps, MostColumns))
        {
            for (var bin = 0; bin < shares.Length; bin++)
            {
                if (shares[bin] > 0)
                {
                    // A share of a hundredth must still show.
                    frame.Append($"<rect class=\"cell\" {Place(frame, from, to, (double)bin / shares.Length, (bin + 1.0) / shares.Length)} fill-opacity=\"{Html.Opacity(Math.Sqrt(shares[bin]))}\"/>");
                }
            }
        }
        foreach (var (from, to, shares) in Means(steps, MostBands))
        {
            frame.Mark(0, $"{axis} {Range(from, to - 1)}: {Largest(shares)}", $"<rect class=\"band\" {Place(frame, from, to, 0, 1)}/>");
        }
        return frame.Close([legend]);
    }

    // Of so many runs of neighbouring steps at most: where each begins, where the next one does, and the mean of its histograms.
    private static IEnumerable<(double From, double To, double[] Shares)> Means(IReadOnlyList<(double X, double[] Shares)> steps, int most)
    {
        var size = (steps.Count + most - 1) / most;
        for (var i = 0; i < steps.Count; i += size)
        {
            var part = steps.Skip(i).Take(size).ToList();
            yield return (
                steps[i].X, i + size < steps.Count ? steps[i + size].X : steps[^1].X + 1,
                [.. Enumerable.Range(0, steps[i].Shares.Length).Select(bin => part.Average(s => s.Shares[bin]))]);
        }
    }

    private static string Place(ChartFrame frame, double x0, double x1, double y0, double y1) =>
        $"x=\"{frame.X(x0)}\" y=\"{frame.Y(y1)}\" width=\"{Html.Pixels(frame.AtX(x1) - frame.AtX(x0))}\" height=\"{Html.Pixels(frame.AtY(y0) - frame.AtY(y1))}\"";

    private static string Range(double from, double to) => to > from ? $"{Html.Number(from)} to {Html.Number(to)}" : Html.Number(from);

    private static string Largest(double[] shares) => string.Join(", ", shares
        .Select((share, bin) => (Share: share, Bin: bin)).Where(static b => b.Share > 0).OrderByDescending(static b => b.Share).Take(ShownBins)
        .Select(b => $"{Html.Number(100 * b.Share)} % in {Html.Number((double)b.Bin / shares.Length)} to {Html.Number((b.Bin + 1.0) / shares.Length)}"));
}
