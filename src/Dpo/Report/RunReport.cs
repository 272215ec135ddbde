using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>One or more runs as one HTML file that loads nothing and runs no script.</summary>
public static class RunReport
{
    public const string FileName = "report.html";

    private const int Marks = 16, LossMarks = 5;

    // What no chart is made of: the axis itself, and what says more of the machine than of the run.
    private static readonly string[] s_notDrawn = ["epoch", "tokens", "num_tokens", "tokens/s", "mfu"];

    // Metrics that belong on one chart, under its title; any other has a chart of its own.
    private static readonly (string Title, string[] Metrics)[] s_together =
    [
        ("log-probs: chosen and rejected", ["logps/chosen", "logps/rejected"]),
        ("implicit rewards: chosen and rejected", ["rewards/chosen", "rewards/rejected"]),
        ("weights of the pairs' gradients, by quantile", [.. WeightQuantiles.Names]),
        ("mean KL(policy || reference) of the next token, over the completions' tokens, nats", [TokenStatistics.KlName]),
    ];

    /// <summary>Writes the report of some runs.</summary>
    /// <param name="folders">Their folders, one or more.</param>
    /// <param name="path">The HTML file.</param>
    /// <param name="backend">Computes the curves of the losses.</param>
    /// <exception cref="InputException">A run has no metrics.jsonl or a line of it is torn; or the file cannot be written.</exception>
    public static void Write(IReadOnlyList<string> folders, string path, IBackend backend) => AtomicFile.WriteText(path, Render(folders, backend));

    internal static string Render(IReadOnlyList<string> folders, IBackend backend)
    {
        string[] runs = [.. folders.DistinctBy(static f => Path.TrimEndingDirectorySeparator(Path.GetFullPath(f)))];
        return Render(runs, [.. runs.Zip(RunMetrics.NamesOf(runs), RunMetrics.Read).SelectMany(static s => s)], LossCharts(backend));
    }

    /// <param name="folders">The runs' folders, for all but their metrics.</param>
    /// <param name="series">Their metrics.</param>
    /// <param name="losses"><see cref="LossCharts"/>.</param>
    /// <param name="refresh">Seconds after which the page loads itself anew, or null.</param>
    internal static string Render(IReadOnlyList<string> folders, List<MetricSeries> series, string losses, int? refresh = null)
    {
        var names = RunMetrics.NamesOf(folders);
        var examples = folders.Zip(names, static (f, name) => (Name: name, Examples: RunExamples.Read(f))).Where(static e => e.Examples is not null).ToList();
        var html = new StringBuilder(ReportStyle.Head(refresh));
        html.Append($"<h1>TinyDpo: {Html.Escape(string.Join(", ", names))}</h1>\n");
        html.Append("<nav aria-label=\"Contents\"><a href=\"#training\">Training</a> <a href=\"#tokens\">Tokens</a> <a href=\"#samples\">Samples</a> <a href=\"#losses\">Losses</a> <a href=\"#configuration\">Configuration</a></nav>\n<main id=\"main\">\n");
        Training(html, series);
        Section(html, "tokens", "Tokens", "The log-ratio of policy to reference for each token: blue where the policy finds it likelier, orange where less likely. Point at a token, or step through them with Tab. The number is the sum, in nats.",
            OfEach(static e => e.Pairs.Select(TokenHeatMap.Draw)), "No run wrote any.");
        Section(html, "samples", "Samples before and after", "The same prompt, continued by the reference and by the policy.",
            OfEach(static e => e.Samples.Select(Sample)), "No run wrote any.");
        Section(html, "losses", "Losses and their derivatives",
            $"Each loss at its defaults over the margin of one pair, completions of {LossCurve.Tokens} tokens, the reference's log-probs {LossCurve.ReferenceLogProb}. Computed by the code that trains. A loss that needs other pairs' completions (kto) has no such curve.",
            [losses], "");
        Section(html, "configuration", "Configuration and versions", $"TinyDpo {Version()}, {Html.Escape(RuntimeInformation.FrameworkDescription)}.", folders.Zip(names, Files).SelectMany(static f => f), "");
        return html.Append("</main></body></html>\n").ToString();

        // Under the name of its run, where there are several.
        IEnumerable<string> OfEach(Func<RunExamples, IEnumerable<string>> parts) => examples.SelectMany(e => folders.Count > 1
            ? parts(e.Examples!).Prepend($"<h3>{Html.Escape(e.Name)}</h3>\n")
            : parts(e.Examples!));
    }

    /// <summary>The charts of the losses.</summary>
    internal static string LossCharts(IBackend backend) =>
        $"<div class=\"charts\">{string.Concat(LossCurve.All(backend).Select(static c => LineChart.Draw($"{c.Name}, beta {Html.Number(c.Beta)}", "margin", [new("loss", c.Values), new("derivative", c.Slopes)], LossMarks)))}</div>";

    private static void Training(StringBuilder html, List<MetricSeries> series)
    {
        var runs = series.Select(static s => s.Run).Distinct().Count();
        var charts = series.Where(static s => !s_notDrawn.Contains(s.Metric) && !WeightHistogram.Names.Contains(s.Metric)).GroupBy(static s => (s.Stage, Title: TitleOf(s.Metric)));
        var drawn = charts.Select(chart => LineChart.Draw(
            chart.Key.Stage is null ? chart.Key.Title : $"{chart.Key.Stage}: {chart.Key.Title}", "step", [.. chart.Select(s => new ChartLine(runs > 1 ? $"{s.Run} {s.Metric}" : s.Metric, s.Points))], Marks));
        Section(html, "training", "Training", "Marks show their values under the pointer and with Tab. Long runs are drawn as means of neighbouring steps.",
            series.Count > 0 ? [$"<div class=\"charts\">{string.Concat(drawn.Concat(WeightStrips(series, runs > 1)))}</div>"] : [], "No step has been made yet.");
    }

    // Histograms cannot be overlaid: each run has a chart of its own.
    private static IEnumerable<string> WeightStrips(List<MetricSeries> series, bool named)
    {
        foreach (var bins in series.Where(static s => WeightHistogram.Names.Contains(s.Metric)).GroupBy(static s => (s.Run, s.Stage)))
        {
            var points = bins.OrderBy(static b => b.Metric, StringComparer.Ordinal).Select(static b => b.Points).ToList();
            var steps = points.Count < WeightHistogram.Bins ? 0 : points.Min(static p => p.Count);
            yield return HeatStrip.Draw(
                $"{(bins.Key.Stage is null ? "" : bins.Key.Stage + ": ")}weights of the pairs' gradients over beta, histogram{(named ? $", {bins.Key.Run}" : "")}", "step",
                "share of the step's pairs: the stronger the colour, the more (as its square root)",
                [.. Enumerable.Range(0, steps).Select(i => (points[0][i].X, points.Select(p => p[i].Y).ToArray()))]);
        }
    }

    // What is measured on held-out pairs is called eval_NAME, and drawn apart from NAME.
    private static string TitleOf(string metric)
    {
        var evaluated = metric.StartsWith("eval_", StringComparison.Ordinal);
        var name = evaluated ? metric["eval_".Length..] : metric;
        return (evaluated ? "held-out: " : "") + (Array.Find(s_together, t => t.Metrics.Contains(name)).Title ?? name);
    }

    private static void Section(StringBuilder html, string id, string title, string text, IEnumerable<string> parts, string otherwise)
    {
        var content = string.Concat(parts);
        html.Append($"<section id=\"{id}\"><h2>{title}</h2>\n<p>{(content.Length > 0 ? text : otherwise)}</p>\n{content}</section>\n");
    }

    private static string Sample(SampleChange sample) =>
        $"<article><p class=\"prompt\">{Html.Escape(sample.Prompt)}</p><dl><dt>before</dt><dd>{Html.Escape(sample.Before)}</dd><dt>after</dt><dd>{Html.Escape(sample.After)}</dd></dl></article>\n";

    private static IEnumerable<string> Files(string folder, string run)
    {
        foreach (var path in new[] { Path.Combine(folder, RunFolder.OptionsFile), Path.Combine(folder, "summary.json"), Path.Combine(folder, "model", "config.json") }.Where(File.Exists))
        {
            using var json = JsonInput.ReadFile(path);
            yield return $"<h3>{Html.Escape(run)}: {Path.GetFileName(path)}</h3><pre>{Html.Escape(json.RootElement.GetRawText())}</pre>\n";
        }
    }

    private static string Version() => Html.Escape(typeof(RunReport).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown");
}
