using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;

namespace TinyDpo.Tests;

/// <summary>
/// A page in headless Chromium, driven over a pipe by the DevTools protocol: no port is opened, and the page is the file as it stands. The
/// test is skipped where there is no Chromium.
/// </summary>
internal sealed class ChromiumPage : IDisposable
{
    private const string Chromium = "/usr/bin/chromium";

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(50);

    private readonly Process _process;
    private readonly TemporaryFolder _profile = new();
    private readonly Task<string> _errors;
    private readonly List<byte> _received = [];
    private readonly string _session;
    private int _sent;
    private bool _loaded;

    /// <summary>Opens a file and waits until it is loaded.</summary>
    public ChromiumPage(string path)
    {
        if (!File.Exists(Chromium))
        {
            _profile.Dispose();
            Assert.Ignore("needs Debian's package chromium");
        }
        // The protocol's pipe is descriptors 3 and 4, which only a shell can make of stdin and stdout.
        var start = new ProcessStartInfo("/bin/sh") { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in new[]
        {
            "-c", $"exec {Chromium} \"$@\" 3<&0 4>&1 0</dev/null 1>&2", "sh", "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1360,1000",
            "--remote-debugging-pipe", $"--user-data-dir={_profile.Path}", "about:blank",
        })
        {
            start.ArgumentList.Add(argument);
        }
        _process = Process.Start(start)!;
        _errors = _process.StandardError.ReadToEndAsync();
        try
        {
            _session = Open(path);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>What the page wrote to the console, and what Chromium logged of it.</summary>
    public List<string> Complaints { get; } = [];

    /// <summary>The value of a JavaScript expression.</summary>
    public JsonNode? Evaluate(string expression)
    {
        var result = Send("Runtime.evaluate", new() { ["expression"] = expression, ["returnByValue"] = true });
        Assert.That(result["exceptionDetails"], Is.Null, expression);
        return result["result"]!["value"];
    }

    /// <summary>Scrolls an element into sight and puts the pointer on its middle.</summary>
    /// <param name="element">A JavaScript expression.</param>
    public void PointAt(string element)
    {
        var at = (string)Evaluate($"(e => {{ e.scrollIntoView({{ block: 'center', behavior: 'instant' }}); const r = e.getBoundingClientRect(); return (r.left + r.width / 2) + ' ' + (r.top + r.height / 2); }})({element})")!;
        var (x, y) = (at.Split(' ')[0], at.Split(' ')[1]);
        Send("Input.dispatchMouseEvent", new()
        {
            ["type"] = "mouseMoved",
            ["x"] = double.Parse(x, CultureInfo.InvariantCulture),
            ["y"] = double.Parse(y, CultureInfo.InvariantCulture),
        });
    }

    public void Dispose()
    {
        _process.Kill(entireProcessTree: true);
        _process.WaitForExit();
        _process.Dispose();
        _profile.Dispose();
    }

    // The session of a tab that has loaded the file.
    private string Open(string path)
    {
        var target = Send("Target.createTarget", new() { ["url"] = "about:blank" }, null)["targetId"]!.GetValue<string>();
        var session = Send("Target.attachToTarget", new() { ["targetId"] = target, ["flatten"] = true }, null)["sessionId"]!.GetValue<string>();
        foreach (var domain in new[] { "Page", "Runtime", "Log" })
        {
            Send(domain + ".enable", null, session);
        }
        Send("Emulation.setFocusEmulationEnabled", new() { ["enabled"] = true }, session);
        Send("Page.navigate", new() { ["url"] = new Uri(path).AbsoluteUri }, session);
        while (!_loaded)
        {
            Receive();
        }
        return session;
    }

    private JsonNode Send(string method, JsonObject parameters) => Send(method, parameters, _session);

    private JsonNode Send(string method, JsonObject? parameters, string? session)
    {
        var message = new JsonObject { ["id"] = ++_sent, ["method"] = method, ["params"] = parameters ?? [] };
        if (session is not null)
        {
            message["sessionId"] = session;
        }
        _process.StandardInput.BaseStream.Write(Encoding.UTF8.GetBytes(message.ToJsonString() + "\0"));
        _process.StandardInput.BaseStream.Flush();
        JsonNode answer;
        do
        {
            answer = Receive();
        }
        while ((int?)answer["id"] != _sent);
        Assert.That(answer["error"], Is.Null, $"{method}: {answer["error"]?.ToJsonString()}");
        return answer["result"]!;
    }

    // The next message, of which events are taken note of.
    private JsonNode Receive()
    {
        int end;
        while ((end = _received.IndexOf(0)) < 0)
        {
            var part = new byte[1 << 16];
            var read = _process.StandardOutput.BaseStream.ReadAsync(part).AsTask();
            Assert.That(read.Wait(s_patience), Is.True, "Chromium does not answer");
            Assert.That(read.Result, Is.Positive, () => "Chromium has ended: " + _errors.Result);
            _received.AddRange(part.AsSpan(0, read.Result));
        }
        var message = JsonNode.Parse(_received.ToArray().AsSpan(0, end))!;
        _received.RemoveRange(0, end + 1);
        var method = (string?)message["method"];
        _loaded |= method == "Page.loadEventFired";
        if (method is "Runtime.consoleAPICalled" or "Runtime.exceptionThrown" or "Log.entryAdded")
        {
            Complaints.Add(message["params"]!.ToJsonString());
        }
        return message;
    }
}
