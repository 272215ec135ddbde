using System.Text.Json;
using TinyDpo.Cli;
using TinyDpo.Dpo;

namespace TinyDpo.Tests;

internal sealed class TheoryCommandTests
{
    [Test]
    public void JsonIsAClaimALineWhateverTheThreads()
    {
        var run = CommandLineRun.Of("theory", "--length", "2", "--json", "--threads", "1").Succeeded();
        Assert.That(run.Lines, Has.Length.GreaterThanOrEqualTo(14));
        foreach (var line in run.Lines)
        {
            var claim = JsonElement.Parse(line);
            Assert.That(claim.EnumerateObject().Select(static p => p.Name), Is.EqualTo(new[] { "claim", "equation", "measured", "bound", "holds" }));
            Assert.That(claim.GetProperty("holds").GetBoolean(), line);
        }
        Assert.That(CommandLineRun.Of("theory", "--length", "2", "--json", "--threads", "2").Output, Is.EqualTo(run.Output));
    }

    [Test]
    public void OtherwiseATable()
    {
        var run = CommandLineRun.OfProcess([], "theory", "--length", "2", "--vocabulary", "5", "--seed", "2", "--beta", "1").Succeeded();
        Assert.That(run.Output, Does.Contain("eq. 4").And.Contain("holds").And.Not.Contain("FAILS"));
        Assert.That(run.Lines[^1], Does.Match(@"^(\d+) of \1 claims hold \(vocabulary 5, length 2, beta 1, seed 2; arXiv 2305.18290\)\.$"));
    }

    [TestCase(0.5, CommandLine.Success)]
    [TestCase(2, CommandLine.Failure)]
    [TestCase(double.NaN, CommandLine.Failure)]
    public void AClaimThatFailsIsExitCode1(double measured, int exitCode)
    {
        var output = Console.Out;
        using var written = new StringWriter();
        Console.SetOut(written);
        try
        {
            Claim[] claims = [new("a", "eq. 1", 0, 1), new("b", "eq. 2", measured, 1)];
            Assert.That(TheoryCommand.Report(claims, new TheoryOptions(), json: true), Is.EqualTo(exitCode));
        }
        finally
        {
            Console.SetOut(output);
        }
        var last = JsonElement.Parse(written.ToString().TrimEnd().Split('\n')[^1]);
        Assert.That(last.GetProperty("holds").GetBoolean(), Is.EqualTo(exitCode == CommandLine.Success));
        Assert.That(last.GetProperty("measured").ValueKind, Is.EqualTo(double.IsNaN(measured) ? JsonValueKind.Null : JsonValueKind.Number));
    }
}
