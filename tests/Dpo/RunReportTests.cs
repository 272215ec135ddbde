using System.Globalization;
using System.Xml.Linq;
using TinyDpo.Dpo;
using TinyDpo.Kernels;

namespace TinyDpo.Tests;

internal sealed class RunReportTests
{
    private const string Hostile = "</script><b>\"'&\u0001";

    // A line's part: all pairs in the fifth tenth.
    private static readonly string s_bins = string.Concat(WeightHistogram.Names.Select(static (name, i) => $",\"{name}\":{(i == 4 ? 1 : 0)}"));

    private TemporaryFolder _folder = null!;
    private string _page = null!;

    [OneTimeSetUp]
    public void Render()
    {
        _folder = new TemporaryFolder();
        foreach (var run in new[] { "one", "two" })
        {
            Directory.CreateDirectory(_folder.File(run));
            File.WriteAllText(
                Path.Combine(_folder.File(run), MetricsFile.Name),
                $$"""
                {"stage":"dpo","step":0,"loss":0.69,"logps/chosen":-9,"logps/rejected":-9,"weights/p5":0.05,"weights/p95":0.05{{s_bins}}}
                {"stage":"dpo","step":1,"loss":0.5,"logps/chosen":-8,"logps/rejected":-11,"weights/p5":0.03,"weights/p95":0.06{{s_bins}}}

                """);
        }
        new RunExamples([new TokenPair(Hostile, [new TokenScore(Hostile, -1, -2)], [new TokenScore("bad", -3, -1)])], [new SampleChange(Hostile, Hostile, Hostile)])
            .Write(_folder.File("one"));
        using var backend = new CpuBackend(1);
        _page = RunReport.Render([_folder.File("one"), _folder.File("two")], backend);
    }

    [OneTimeTearDown]
    public void Delete() => _folder.Dispose();

    [Test]
    public void IsWellFormedLoadsNothingAndEscapes()
    {
        var html = XDocument.Parse(_page).Root!;
        Assert.Multiple(() =>
        {
            Assert.That(html.Descendants("section").Select(static s => (string?)s.Attribute("id")), Is.EqualTo(new[] { "training", "tokens", "samples", "losses", "configuration" }));
            Assert.That(html.Descendants("script"), Is.Empty);
            Assert.That(_page, Does.Not.Contain("http://").And.Not.Contain("https://"));
            Assert.That(_page, Does.Not.Contain("</script>"));
            var shown = Hostile.Replace('\u0001', '\uFFFD');
            Assert.That(html.Descendants("dd").Select(static d => d.Value), Is.EqualTo(new[] { shown, shown }));
            Assert.That(html.Descendants("a").Select(static a => ((string?)a.Attribute("href"))![1..]), Is.SubsetOf(html.Descendants().Select(static e => (string?)e.Attribute("id"))));
        });
    }

    /// <summary>Of each path the last parts that tell it from the others, and no more.</summary>
    [TestCase("runs/dpo", ExpectedResult = "dpo")]
    [TestCase("one/dpo two/dpo other", ExpectedResult = "one/dpo two/dpo other")]
    [TestCase("a/x/dpo b/x/dpo b/y/dpo", ExpectedResult = "a/x/dpo b/x/dpo y/dpo")]
    [TestCase("dpo dpo/dpo", ExpectedResult = "root/dpo dpo/dpo")]
    public string RunsAreNamedByWhatTellsThemApart(string folders) =>
        string.Join(' ', RunMetrics.NamesOf([.. folders.Split(' ').Select(static f => $"/root/{f}/")]));

    [Test]
    public void RunsOfOneNameAreToldApartAndARunGivenTwiceIsOne()
    {
        string[] runs = [.. new[] { "seed1", "seed2" }.Select(seed => Directory.CreateDirectory(_folder.File(Path.Combine(seed, "dpo"))).FullName)];
        foreach (var run in runs)
        {
            File.WriteAllText(Path.Combine(run, MetricsFile.Name), "{\"step\":0,\"loss\":1}\n");
        }
        using var backend = new CpuBackend(1);
        var legend = XDocument.Parse(RunReport.Render([.. runs, runs[0] + "/"], backend)).Descendants("figure").First().Descendants("li").Select(static l => l.Value);
        Assert.That(legend, Is.EqualTo(new[] { "seed1/dpo loss", "seed2/dpo loss" }));
    }

    /// <summary>The largest and the smallest doubles are drawn within the chart.</summary>
    [TestCase(1e308, -1e308)]
    [TestCase(double.MaxValue, double.MaxValue)]
    [TestCase(double.MinValue, 0)]
    [TestCase(double.Epsilon, 0)]
    public void NoNumberLeavesTheChart(double first, double second)
    {
        var points = Enumerable.Range(0, 700).Select(i => ((double)i, i % 2 == 0 ? first : second)).ToList();
        var svg = XDocument.Parse(LineChart.Draw("loss", "step", [new("loss", points)], 4)).Root!.Element("svg")!;
        var drawn = ((string)svg.Element("polyline")!.Attribute("points")!).Split(' ', ',').Select(static x => double.Parse(x, CultureInfo.InvariantCulture));
        Assert.That(drawn, Has.All.InRange(0, 420));
        Assert.That(svg.Elements("line").Count(), Is.InRange(1, 8), "ticks");
    }

    [Test]
    public void OverlaysRunsAndDrawsEveryLoss()
    {
        var charts = XDocument.Parse(_page).Descendants("figure").ToDictionary(static f => f.Element("figcaption")!.Value, static f => f.Descendants("li").Select(static l => l.Value).ToList());
        Assert.That(charts["dpo: loss"], Is.EqualTo(new[] { "one loss", "two loss" }));
        Assert.That(charts["dpo: log-probs: chosen and rejected"], Has.Count.EqualTo(4));
        Assert.That(charts.Keys.Where(static k => k.Contains(", beta ", StringComparison.Ordinal)).Select(static k => k.Split(',')[0]), Is.EqualTo(LossCatalog.Names.Where(static n => n != "kto")));
    }

    /// <summary>DPO's curve against equation 7 in double; a float log-prob near -80 is off by 4e-6, times beta.</summary>
    [Test]
    public void DposCurveIsEquation7()
    {
        using var backend = new CpuBackend(1);
        var curve = LossCurve.All(backend)[0];
        foreach (var (value, slope) in curve.Values.Zip(curve.Slopes))
        {
            var (loss, derivative, _) = new TheoryDpoLoss(curve.Beta).At(value.X);
            Assert.That(value.Y, Is.EqualTo(loss).Within(2e-6));
            Assert.That(slope.Y, Is.EqualTo(derivative).Within(2e-6));
        }
    }

    [Test]
    public void QuantilesAreNearestRanksOfTheWeights()
    {
        var weights = Enumerable.Range(1, 20).Select(static i => (double)i).Reverse();
        Assert.That(WeightQuantiles.Of(weights).Select(static q => q.Value), Is.EqualTo(new[] { 1.0, 5, 10, 15, 19 }));
        Assert.That(WeightQuantiles.Weight(0.5, 0), Is.EqualTo(0.25));
        Assert.That(WeightQuantiles.Weight(0.5, -1e4), Is.EqualTo(0.5));
        Assert.That(WeightQuantiles.Weight(0.5, 1e4), Is.Zero);
    }

    [Test]
    public void TheHistogramHoldsEveryPairOnce()
    {
        double[] weights = [0, 0.0499, 0.05, 0.25, 0.25, 0.4999, 0.5, 0.5];
        Assert.That(WeightHistogram.Of(weights, 0.5).Select(static b => b.Value), Is.EqualTo(new[] { 2, 1, 0, 0, 0, 2, 0, 0, 0, 3 }.Select(static n => n / 8.0)));
        Assert.That(WeightHistogram.Names, Has.Count.EqualTo(WeightHistogram.Bins).And.Ordered);
    }

    /// <summary>A column a step and a cell a bin that holds a pair, in its place; and bands that say what the cells hold.</summary>
    [Test]
    public void AHistogramOverTimeIsDrawnCellByCell()
    {
        var series = WeightHistogram.Of([0.25, 0.25, 0.025, 0.475], 0.5).Select(static b => new MetricSeries("run", "dpo", b.Name, [(0, b.Value), (1, b.Value)])).ToList();
        var page = XDocument.Parse(RunReport.Render([_folder.File("one")], series, "")).Root!;
        var chart = page.Descendants("figure").Single();
        Assert.That(chart.Element("figcaption")!.Value, Does.Contain("histogram"));
        var cells = chart.Descendants("rect").Where(static r => (string?)r.Attribute("class") == "cell").ToList();
        Assert.That(cells, Has.Count.EqualTo(2 * 3));
        double[] tops = [.. cells.Take(3).Select(static c => double.Parse((string)c.Attribute("y")!, CultureInfo.InvariantCulture))];
        Assert.That(tops, Is.Ordered.Descending.And.Unique, "larger weights stand higher");
        Assert.That(cells.Take(3).Select(static c => (string?)c.Attribute("fill-opacity")), Is.EqualTo(new[] { "0.5", "0.71", "0.5" }));
        Assert.That(chart.Descendants("g").Select(static g => (string?)g.Attribute("aria-label")), Has.All.Contains("50 % in 0.5 to 0.6, 25 % in 0 to 0.1"));
    }

    /// <summary>However long a run is, the strip holds no more than its columns of bins.</summary>
    [Test]
    public void ALongHistogramIsOfMeans()
    {
        var steps = Enumerable.Range(0, 5000).Select(static i => ((double)i, i % 2 == 0 ? new[] { 1.0, 0 } : [0.0, 1])).ToList();
        var svg = XDocument.Parse(HeatStrip.Draw("weights", "step", "share", steps)).Root!;
        var cells = svg.Descendants("rect").Where(static r => (string?)r.Attribute("class") == "cell").ToList();
        Assert.That(cells, Has.Count.InRange(150, 200));
        Assert.That(cells.Select(static c => (string?)c.Attribute("fill-opacity")), Has.All.AnyOf("0.7", "0.71"), "half and half");
    }

    /// <summary>A plain run leaves what every part of the report is made of.</summary>
    [Test]
    public void PlainRunsHaveAllParts()
    {
        var model = TinyModelFolder.Save(_folder.File("model"));
        File.WriteAllLines(_folder.File("pairs.jsonl"), Enumerable.Range(0, 12).Select(static i => $$"""{"prompt": "the film {{i % 10}}", "chosen": " was good", "rejected": " was bad"}"""));
        CommandLineRun.Of("dpo", "--model", model, "--data", _folder.File("pairs.jsonl"), "--out", _folder.File("plain"), "--beta", "0.25", "--seed", "7").Succeeded();
        CommandLineRun.Of("sft", "--model", model, "--data", _folder.File("pairs.jsonl"), "--out", _folder.File("tuned")).Succeeded();
        var examples = RunExamples.Read(_folder.File("plain"))!;
        Assert.That(examples.Pairs.Select(static p => p.Prompt), Is.EqualTo(Enumerable.Range(0, 8).Select(static i => $"the film {i}")));
        Assert.That(examples.Pairs[0].Chosen.Sum(static t => t.Policy), Is.Not.EqualTo(examples.Pairs[0].Chosen.Sum(static t => t.Reference)), "of the weights before and after");
        Assert.That(examples.Samples.Select(static s => s.Prompt), Is.EqualTo(examples.Pairs.Select(static p => p.Prompt)));
        Assert.That(RunExamples.Read(_folder.File("tuned"))!.Samples, Has.Length.EqualTo(8));
        using var backend = new CpuBackend(1);
        var sections = XDocument.Parse(RunReport.Render([_folder.File("plain"), _folder.File("tuned")], backend)).Descendants("section").ToDictionary(static s => (string)s.Attribute("id")!);
        Assert.That(sections["tokens"].Elements("article").Count(), Is.EqualTo(8));
        Assert.That(sections["samples"].Elements("article").Count(), Is.EqualTo(16));
        var options = sections["configuration"].Elements("pre").First().Value;
        Assert.That(options, Does.Contain("\"Command\": \"dpo\"").And.Contain("Beta = 0.25").And.Contain("\"Seed\": 7").And.Contain("\"Optimiser\": \"AdamW\""));
    }

    [Test]
    public void ARunWithoutMetricsOrWithATornLineIsOneClearLine()
    {
        var run = _folder.File("bad");
        Directory.CreateDirectory(run);
        CommandLineRun.Of("report", run).AssertFails(1, "metrics.jsonl", "give the --out folder");
        File.WriteAllText(Path.Combine(run, MetricsFile.Name), "{\"step\":0,\"loss\":1}\n{\"step\":1,\"lo");
        CommandLineRun.Of("report", run).AssertFails(1, "metrics.jsonl, line 2", "correct or delete the line");
        File.WriteAllText(Path.Combine(run, MetricsFile.Name), "{\"loss\":1}\n");
        CommandLineRun.Of("report", run).AssertFails(1, "line 1: has no step");
        Assert.That(File.Exists(Path.Combine(run, RunReport.FileName)), Is.False);
    }

    /// <summary>Tokens, marks of lines and bands of histograms show their values under the pointer, and when focused, with the page's policy in force.</summary>
    [Test]
    public void ChromiumShowsValuesUnderThePointerAndOnFocusWithoutAnError()
    {
        File.WriteAllText(_folder.File("page.html"), _page);
        using var page = new ChromiumPage(_folder.File("page.html"));
        // The last mark of a chart, which none lies on.
        const string token = "document.querySelector('.token')", mark = "document.querySelector('svg .mark:last-child')", band = "document.querySelector('.band').parentElement";
        const string tokenTip = $"getComputedStyle({token}, '::after').content";
        Assert.That((string?)page.Evaluate(tokenTip), Is.EqualTo("none"));
        foreach (var show in new Action<string, string>[] { (element, part) => page.PointAt(element + part), (element, _) => page.Evaluate($"{element}.focus()") })
        {
            show(token, "");
            Assert.That((string?)page.Evaluate(tokenTip), Is.EqualTo("\"policy -1, reference -2, ratio 1\""));
            foreach (var element in new[] { mark, band })
            {
                var tip = $"getComputedStyle({element}.querySelector('.tip')).visibility";
                Assert.That((string?)page.Evaluate(tip), Is.EqualTo("hidden"), element);
                show(element, ".firstElementChild");
                Assert.That((string?)page.Evaluate(tip), Is.EqualTo("visible"), element);
            }
            page.PointAt("document.querySelector('h1')");
            page.Evaluate("document.activeElement.blur()");
        }
        Assert.That((bool)page.Evaluate("[...document.querySelectorAll('svg')].every(s => s.getBoundingClientRect().height > 50)")!, Is.True);
        Assert.That(page.Complaints, Is.Empty);
    }
}
