using System.Text;

namespace TinyDpo.Dpo;

/// <summary>What charts have in common: a figure of one size with caption, axes and legend, as SVG.</summary>
internal sealed class ChartFrame
{
    public const int Width = 420, Height = 220, Left = 58, Right = 12, Top = 12, Bottom = 34;

    // Beyond these, differences of doubles overflow or vanish: what is larger is drawn at the edge, what differs less as level.
    private const double Largest = 1e307, Narrowest = 1e-300;

    private readonly StringBuilder _html = new();
    private readonly (double Low, double High) _x, _y;

    /// <param name="title">The caption, which also names the chart to a screen reader.</param>
    /// <param name="axis">What x counts.</param>
    /// <param name="x">All that is drawn, finite.</param>
    /// <param name="y">All that is drawn, finite.</param>
    public ChartFrame(string title, string axis, IEnumerable<double> x, IEnumerable<double> y)
    {
        (_x, _y) = (Extent(x), Extent(y));
        Append($"<figure><figcaption>{Html.Escape(title)}</figcaption><svg viewBox=\"0 0 {Width} {Height}\" role=\"group\" aria-label=\"{Html.Escape(title)}\">");
        foreach (var tick in Ticks(_y.Low, _y.High))
        {
            Append($"<line class=\"grid\" x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{Y(tick)}\" y2=\"{Y(tick)}\"/>");
            Append($"<text class=\"tick\" x=\"{Left - 6}\" y=\"{Y(tick)}\" dy=\"4\" text-anchor=\"end\">{Html.Number(tick)}</text>");
        }
        foreach (var tick in Ticks(_x.Low, _x.High))
        {
            Append($"<text class=\"tick\" x=\"{X(tick)}\" y=\"{Height - Bottom + 16}\" text-anchor=\"middle\">{Html.Number(tick)}</text>");
        }
        Append($"<text class=\"tick\" x=\"{(Left + Width - Right) / 2}\" y=\"{Height - 3}\" text-anchor=\"middle\">{Html.Escape(axis)}</text>");
    }

    public void Append(string svg) => _html.Append(svg);

    /// <summary>A mark that shows a text under the pointer and when focused.</summary>
    /// <param name="colour">The number of its colour.</param>
    /// <param name="shape">What is pointed at.</param>
    public void Mark(int colour, string text, string shape) => Append(
        $"<g class=\"mark s{colour % ReportStyle.Colours}\" tabindex=\"0\" role=\"img\" aria-label=\"{Html.Escape(text)}\">{shape}<text class=\"tip\" x=\"{Left + 6}\" y=\"{Top + 12}\">{Html.Escape(text)}</text></g>");

    /// <summary>The whole figure.</summary>
    /// <param name="legend">Each with the colour of its place.</param>
    public string Close(IEnumerable<string> legend)
    {
        Append("</svg><ul class=\"legend\">");
        foreach (var (name, i) in legend.Select(static (name, i) => (name, i)))
        {
            Append($"<li><span class=\"key s{i % ReportStyle.Colours}\"></span>{Html.Escape(name)}</li>");
        }
        Append("</ul></figure>\n");
        return _html.ToString();
    }

    public string X(double value) => Html.Pixels(AtX(value));

    public string Y(double value) => Html.Pixels(AtY(value));

    public double AtX(double value) => Left + (Share(value, _x) * (Width - Left - Right));

    public double AtY(double value) => Height - Bottom - (Share(value, _y) * (Height - Top - Bottom));

    // A range of no width would divide by zero.
    private static (double Low, double High) Extent(IEnumerable<double> values)
    {
        var (low, high) = (Math.Clamp(values.Min(), -Largest, Largest), Math.Clamp(values.Max(), -Largest, Largest));
        return high - low > Narrowest ? (low, high) : (low - Math.Max(Math.Abs(low), 1) / 2, low + Math.Max(Math.Abs(low), 1) / 2);
    }

    private static double Share(double value, (double Low, double High) range) =>
        (Math.Clamp(value, range.Low, range.High) - range.Low) / (range.High - range.Low);

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
}
