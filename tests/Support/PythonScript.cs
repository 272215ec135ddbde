using System.Diagnostics;
using System.Text.Json;

namespace TinyDpo.Tests;

/// <summary>
/// A Python module as an oracle: a script of the tests fed with JSON. The test is skipped where no python3 has the module (Debian: apt-get
/// install --no-install-recommends python3-torch, python3-jinja2).
/// </summary>
internal static class PythonScript
{
    private const int NoModule = 77;

    // Debian's, which has Debian's modules, and the one that is first on the path.
    private static readonly string[] s_interpreters = ["/usr/bin/python3", "python3"];

    /// <summary>Runs tests/<paramref name="script"/>, which ends with 77 where it lacks the module, and gives what it printed.</summary>
    public static JsonElement Run(string script, string input, string module)
    {
        foreach (var interpreter in s_interpreters)
        {
            var (exitCode, output, error) = Start(interpreter, Path.Combine(Repository.Root, "tests", script), input);
            if (exitCode != NoModule)
            {
                Assert.That(exitCode, Is.Zero, error);
                return JsonElement.Parse(output);
            }
        }
        Assert.Ignore($"needs a python3 with {module} (Debian: python3-{module}), which is not there");
        return default;
    }

    private static (int ExitCode, string Output, string Error) Start(string interpreter, string script, string input)
    {
        var start = new ProcessStartInfo(interpreter) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        start.ArgumentList.Add(script);
        Process? started;
        try
        {
            started = Process.Start(start);
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return (NoModule, "", "");
        }
        using var process = started!;
        var error = process.StandardError.ReadToEndAsync();
        try
        {
            process.StandardInput.Write(input);
            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // Without the module it ends before it has read: its exit code says so.
        }
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output, error.Result);
    }
}
