using System.Diagnostics;
using System.Text.Json;

namespace TinyDpo.Tests;

/// <summary>
/// PyTorch as an oracle: a script of the tests fed with JSON. The test is skipped where /usr/bin/python3 has no torch (Debian: apt-get
/// install --no-install-recommends python3-torch).
/// </summary>
internal static class TorchScript
{
    private const string Python = "/usr/bin/python3";
    private const int NoTorch = 77;

    /// <summary>Runs tests/<paramref name="script"/> and gives what it printed.</summary>
    public static JsonElement Run(string script, string input)
    {
        var (exitCode, output, error) = File.Exists(Python) ? Start(Path.Combine(Repository.Root, "tests", script), input) : (NoTorch, "", "");
        if (exitCode == NoTorch)
        {
            Assert.Ignore($"needs {Python} with torch (Debian: python3-torch), which is not there");
        }
        Assert.That(exitCode, Is.Zero, error);
        return JsonElement.Parse(output);
    }

    private static (int ExitCode, string Output, string Error) Start(string script, string input)
    {
        var start = new ProcessStartInfo(Python) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        start.ArgumentList.Add(script);
        using var process = Process.Start(start)!;
        var error = process.StandardError.ReadToEndAsync();
        try
        {
            process.StandardInput.Write(input);
            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // Without torch it ends before it has read: its exit code says so.
        }
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output, error.Result);
    }
}
