using System.Net;
using System.Text.Json;
using System.Xml.Linq;
using TinyDpo.Cli;
using TinyDpo.Dpo;
using TinyDpo.Kernels;

namespace TinyDpo.Tests;

/// <summary>The report of a run that goes on, fetched from the loopback.</summary>
internal sealed class DashboardTests
{
    private TemporaryFolder _folder = null!;
    private HttpClient _client = null!;

    [SetUp]
    public void Open() => (_folder, _client) = (new TemporaryFolder(), new HttpClient());

    [TearDown]
    public void Close()
    {
        _client.Dispose();
        _folder.Dispose();
    }

    [Test]
    public async Task ThePageHoldsWhatWasAddedAndLoadsItselfAnew()
    {
        var live = new LiveReport(_folder.File("run"));
        using var server = new DashboardServer(live.Render);
        Assert.That((server.Address.Host, IPAddress.IsLoopback(IPAddress.Parse(server.Address.Host))), Is.EqualTo(("127.0.0.1", true)));
        Assert.That(await _client.GetStringAsync(server.Address), Does.Contain("No step has been made yet."));
        live.Add(0, [("loss", 0.6931), ("logps/chosen", -9)]);
        live.Add(1, [("loss", 0.4321), ("logps/chosen", -8)]);
        using var response = await _client.GetAsync(server.Address);
        Assert.That(response.Content.Headers.ContentType!.ToString(), Is.EqualTo("text/html; charset=utf-8"));
        var page = XDocument.Parse(await response.Content.ReadAsStringAsync()).Root!;
        Assert.That(page.Descendants("meta").Select(static m => (string?)m.Attribute("http-equiv")), Does.Contain("refresh"));
        Assert.That(page.Descendants("figcaption").Select(static c => c.Value), Is.SupersetOf(new[] { "loss", "log-probs: chosen and rejected", "sigmoid, beta 0.1" }));
        Assert.That(page.Descendants("text").Select(static t => t.Value), Does.Contain("loss, step 1: 0.4321"));
    }

    [Test]
    public async Task NothingElseIsServed()
    {
        using var server = new DashboardServer(static () => "page");
        Assert.That((await _client.GetAsync(new Uri(server.Address, "metrics.jsonl"))).StatusCode, Is.EqualTo(HttpStatusCode.NotFound));
        Assert.That((await _client.PostAsync(server.Address, new StringContent("x"))).StatusCode, Is.EqualTo(HttpStatusCode.MethodNotAllowed));
        using var elsewhere = new HttpRequestMessage(HttpMethod.Get, server.Address) { Headers = { Host = "example.org" } };
        Assert.That((await _client.SendAsync(elsewhere)).StatusCode, Is.EqualTo(HttpStatusCode.Forbidden), "a foreign name that was made to point here");
        using var head = new HttpRequestMessage(HttpMethod.Head, server.Address);
        Assert.That((await _client.SendAsync(head)).StatusCode, Is.EqualTo(HttpStatusCode.OK));
    }

    /// <summary>Between two steps the page holds the first, of a resumed run those before it too; and it is the report of the run in the end.</summary>
    [Test]
    public void ARunUpdatesItsPageStepByStep()
    {
        var (data, run) = (Data(), _folder.File("run"));
        var live = new LiveReport(run);
        var log = new PageLog(live);
        using var backend = new CpuBackend(1);
        var options = new DpoRunOptions
        {
            Model = TinyModelFolder.Save(_folder.File("model")),
            Data = data,
            Out = run,
            Live = live,
            Training = new TrainingOptions { BatchSize = 2, CheckpointEvery = 1 },
        };
        DpoRun.Run(options, backend, log, default);
        Assert.That(log.Steps, Is.EqualTo(new[] { 0, 1, 2 }));
        Assert.That(Figures(live.Render()), Is.EqualTo(Figures(RunReport.Render([run], backend))), "the same page");

        Directory.Delete(Path.Combine(run, "model"), recursive: true);
        var resumed = new LiveReport(run);
        var second = new PageLog(resumed);
        DpoRun.Run(options with { Live = resumed, Resume = true }, backend, second, default);
        Assert.That(second.Steps, Is.EqualTo(new[] { 2 }));
        Assert.That(Figures(resumed.Render()), Is.EqualTo(Figures(RunReport.Render([run], backend))), "with the steps before it");

        static string Figures(string page) => string.Concat(XDocument.Parse(page).Descendants("figure"));
    }

    [Test]
    public void TheCommandSaysItsAddress()
    {
        var model = TinyModelFolder.Save(_folder.File("model"));
        var run = CommandLineRun.Of("dpo", "--model", model, "--data", Data(), "--out", _folder.File("run"), "--dashboard");
        Assert.That(run.ExitCode, Is.EqualTo(CommandLine.Success), run.Error);
        Assert.That(run.Error, Does.Match(@"^dashboard: http://127\.0\.0\.1:[0-9]+/\n$"));
        CommandLineRun.Of("dpo", "--model", model, "--data", Data(), "--out", _folder.File("quiet"), "--dashboard", "--quiet").AssertFails(CommandLine.BadUsage, "--dashboard", "--quiet");
    }

    private string Data()
    {
        File.WriteAllLines(_folder.File("pairs.jsonl"), Enumerable.Range(0, 6).Select(static i =>
            JsonSerializer.Serialize(new { prompt = $"the film {i}", chosen = " was good", rejected = " was bad" })));
        return _folder.File("pairs.jsonl");
    }

    /// <summary>Notes at each step of training which is the last one on the page.</summary>
    private sealed class PageLog(LiveReport live) : IRunLog
    {
        private bool _training;

        public List<int> Steps { get; } = [];

        public void Stage(string name, int total) => _training = name == "training";

        public void Advance(int done, string? detail = null)
        {
            if (_training)
            {
                Assert.That(live.Render(), Does.Contain($"loss, step {done - 1}:").And.Not.Contain($"loss, step {done}:"));
                Steps.Add(done - 1);
            }
        }

        public void Note(string line)
        {
        }
    }
}
