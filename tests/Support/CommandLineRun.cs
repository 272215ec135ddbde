using System.Diagnostics;
using System.Text;
using TinyDpo.Cli;

namespace TinyDpo.Tests;

/// <summary>One run of the command line: its exit code and what it wrote.</summary>
internal sealed record CommandLineRun(int ExitCode, string Output, string Error)
{
    private static readonly UTF8Encoding s_utf8 = new(false);

    /// <summary>The lines of stdout.</summary>
    public string[] Lines => Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);

    /// <summary>Runs in this process, without progress.</summary>
    public static CommandLineRun Of(params string[] args)
    {
        var (output, error) = (Console.Out, Console.Error);
        using var newOutput = new StringWriter { NewLine = "\n" };
        using var newError = new StringWriter { NewLine = "\n" };
        Console.SetOut(newOutput);
        Console.SetError(newError);
        try
        {
            var exitCode = CommandLine.RunAsync(args).GetAwaiter().GetResult();
            return new CommandLineRun(exitCode, newOutput.ToString(), newError.ToString());
        }
        finally
        {
            Console.SetOut(output);
            Console.SetError(error);
        }
    }

    /// <summary>Runs in a process of its own, for what needs its streams: stdin, signals, a real stderr.</summary>
    public static CommandLineRun OfProcess(byte[] input, params string[] args)
    {
        using var process = Start(args);
        process.StandardInput.BaseStream.Write(input);
        process.StandardInput.Close();
        return Wait(process);
    }

    public static Process Start(params string[] args) => Start([], args);

    public static Process Start((string Name, string Value)[] environment, string[] args)
    {
        var start = new ProcessStartInfo("dotnet")
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = s_utf8,
            StandardErrorEncoding = s_utf8,
        };
        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }
        start.ArgumentList.Add(typeof(CommandLine).Assembly.Location);
        foreach (var arg in args)
        {
            start.ArgumentList.Add(arg);
        }
        return Process.Start(start)!;
    }

    public static CommandLineRun Wait(Process process)
    {
        var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        if (!process.WaitForExit(TimeSpan.FromMinutes(1)))
        {
            process.Kill();
            Assert.Fail("the command did not end within a minute");
        }
        return new CommandLineRun(process.ExitCode, output.Result, error.Result);
    }

    /// <summary>Asserts failure as it must be: this exit code, nothing on stdout, one line on stderr that holds all these texts.</summary>
    public void AssertFails(int exitCode, params string[] texts)
    {
        Assert.Multiple(() =>
        {
            Assert.That(Error, Does.StartWith("tinydpo: "));
            Assert.That(Error.TrimEnd('\n').Split('\n'), Has.Length.EqualTo(1), "one line");
            Assert.That(Error, Does.EndWith("\n"));
            foreach (var text in texts)
            {
                Assert.That(Error, Does.Contain(text));
            }
            Assert.That(ExitCode, Is.EqualTo(exitCode));
            Assert.That(Output, Is.Empty);
        });
    }

    /// <summary>Asserts success with nothing on stderr, and gives itself back.</summary>
    public CommandLineRun Succeeded()
    {
        Assert.That(Error, Is.Empty);
        Assert.That(ExitCode, Is.Zero);
        return this;
    }
}
