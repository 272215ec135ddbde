using System.Diagnostics;
using System.Globalization;
using System.Xml.Linq;
using TinyDpo.Dpo;
using TinyDpo.Kernels;

namespace TinyDpo.Tests;

internal sealed class RunReportTests
{
    private const string Hostile = "</script><b>\"'&\u0001";
    private const string Chromium = "/usr/bin/chromium";

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
                """
                {"stage":"dpo","step":0,"loss":0.69,"logps/chosen":-9,"logps/rejected":-9,"weights/p5":0.05,"weights/p95":0.05}
                {"stage":"dpo","step":1,"loss":0.5,"logps/chosen":-8,"logps/rejected":-11,"weights/p5":0.03,"weights/p95":0.06}

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

    /// <summary>Focus shows what hover shows, by the same rules; the self-test's script stands in a copy without the policy that forbids scripts.</summary>
    [Test]
    public void ChromiumShowsValuesOnFocusWithoutAnError()
    {
        if (!File.Exists(Chromium))
        {
            Assert.Ignore("needs Debian's package chromium");
        }
        const string policy = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>";
        Assert.That(_page, Does.Contain(policy));
        var file = _folder.File("self-test.html");
        File.WriteAllText(file, _page.Replace(policy, "", StringComparison.Ordinal).Replace("</body>", """
            <script>
            const token = document.querySelector('.token'), mark = document.querySelector('.mark'), before = getComputedStyle(mark.querySelector('.tip')).visibility;
            token.focus(); const tip = getComputedStyle(token, '::after').content;
            mark.focus(); const after = getComputedStyle(mark.querySelector('.tip')).visibility;
            document.title = document.hasFocus() ? 'self-test ' + [before, after, tip, document.querySelector('svg').getBoundingClientRect().height > 50].join('|') : 'without focus';
            </script></body>
            """, StringComparison.Ordinal));
        var start = new ProcessStartInfo(Chromium) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in new[] { "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", $"--user-data-dir={_folder.File("profile")}", "--dump-dom", new Uri(file).AbsoluteUri })
        {
            start.ArgumentList.Add(argument);
        }
        // Now and then the window has not been given the focus when the page's script runs, and nothing in it can have it then.
        const int attempts = 5;
        CommandLineRun run;
        var attempt = 0;
        do
        {
            using var process = Process.Start(start)!;
            run = CommandLineRun.Wait(process);
        }
        while (run.Output.Contains("<title>without focus</title>", StringComparison.Ordinal) && ++attempt < attempts);
        Assert.That(run.Output, Does.Contain("<title>self-test hidden|visible|\"policy -1, reference -2, ratio 1\"|true</title>"), run.Error);
        Assert.That(run.Error, Does.Not.Contain("CONSOLE"));
    }
}
