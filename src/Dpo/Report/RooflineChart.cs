using System.Text;

namespace TinyDpo.Dpo;

/// <summary>
/// A roofline as one SVG file: operations a byte to the right, operations a second upwards, both logarithmic; a circle a kernel and shape,
/// its area the share of the step. Kernels above the slanting roof read from the caches.
/// </summary>
public static class RooflineChart
{
    private const int Width = 900, Height = 520, Left = 70, Right = 20, Top = 20, Bottom = 50;

    // Whole powers of ten around what kernels have.
    private const double LeastIntensity = 0.1, MostIntensity = 1000, LeastRate = 1e9;

    public static string Draw(StepRoofline roofline)
    {
        var mostRate = Math.Pow(10, Math.Ceiling(Math.Log10(roofline.Peak)));
        var svg = new StringBuilder();
        svg.Append($"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {Height}\" font-family=\"sans-serif\" font-size=\"12\">\n");
        svg.Append($"<rect width=\"{Width}\" height=\"{Height}\" fill=\"#fff\"/>\n");
        for (var x = LeastIntensity; x <= MostIntensity * 1.01; x *= 10)
        {
            svg.Append($"<line x1=\"{X(x)}\" x2=\"{X(x)}\" y1=\"{Top}\" y2=\"{Height - Bottom}\" stroke=\"#ddd\"/>");
            svg.Append($"<text x=\"{X(x)}\" y=\"{Height - Bottom + 18}\" text-anchor=\"middle\">{Html.Number(x)}</text>\n");
        }
        for (var y = LeastRate; y <= mostRate * 1.01; y *= 10)
        {
            svg.Append($"<line x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{Y(y)}\" y2=\"{Y(y)}\" stroke=\"#ddd\"/>");
            svg.Append($"<text x=\"{Left - 8}\" y=\"{Y(y)}\" dy=\"4\" text-anchor=\"end\">{Html.Number(y / 1e9)}</text>\n");
        }
        svg.Append($"<text x=\"{(Left + Width - Right) / 2}\" y=\"{Height - 12}\" text-anchor=\"middle\">operations a byte</text>");
        svg.Append($"<text x=\"16\" y=\"{(Top + Height - Bottom) / 2}\" text-anchor=\"middle\" transform=\"rotate(-90 16 {(Top + Height - Bottom) / 2})\">GFLOP/s</text>\n");
        var ridge = roofline.Peak / roofline.Bandwidth;
        svg.Append($"<polyline fill=\"none\" stroke=\"#333\" stroke-width=\"2\" points=\"{X(LeastRate / roofline.Bandwidth)},{Y(LeastRate)} {X(ridge)},{Y(roofline.Peak)} {X(MostIntensity)},{Y(roofline.Peak)}\"/>");
        svg.Append($"<text x=\"{Width - Right}\" y=\"{Y(roofline.Peak)}\" dy=\"-6\" text-anchor=\"end\">{Html.Number(roofline.Peak / 1e9)} GFLOP/s, {Html.Number(roofline.Bandwidth / 1e9)} GB/s</text>\n");
        foreach (var row in roofline.Rows.Where(static r => r.Flops > 0 && r.Bytes > 0))
        {
            var share = row.Seconds / roofline.StepSeconds;
            var text = Html.Escape(FormattableString.Invariant(
                $"{row.Kernel} {row.Shape}: {row.FlopsPerSecond / 1e9:0.0} GFLOP/s, {row.BytesPerSecond / 1e9:0.0} GB/s, {share:0.0%} of the step"));
            var colour = row.Kernel.StartsWith("Gemm", StringComparison.Ordinal) ? "#1f6fb4"
                : row.Kernel.StartsWith("SegmentAttention", StringComparison.Ordinal) ? "#c9510c" : "#23824a";
            var (x, y) = (Math.Clamp(row.Intensity, LeastIntensity, MostIntensity), Math.Max(row.FlopsPerSecond, LeastRate));
            svg.Append($"<circle cx=\"{X(x)}\" cy=\"{Y(y)}\" r=\"{Html.Pixels(3 + (60 * Math.Sqrt(share)))}\" fill=\"{colour}\" fill-opacity=\"0.5\" stroke=\"{colour}\"><title>{text}</title></circle>\n");
        }
        svg.Append("<text x=\"90\" y=\"38\" fill=\"#1f6fb4\">products</text><text x=\"160\" y=\"38\" fill=\"#c9510c\">attention</text><text x=\"235\" y=\"38\" fill=\"#23824a\">the rest</text>\n");
        return svg.Append("</svg>\n").ToString();

        string X(double value) => Html.Pixels(Left + (Math.Log10(value / LeastIntensity) / Math.Log10(MostIntensity / LeastIntensity) * (Width - Left - Right)));
        string Y(double value) => Html.Pixels(Height - Bottom - (Math.Log10(value / LeastRate) / Math.Log10(mostRate / LeastRate) * (Height - Top - Bottom)));
    }
}
