using System.CommandLine;
using TinyDpo.Dpo;
using TinyDpo.Kernels;

namespace TinyDpo.Cli;

/// <summary>tinydpo theory: the paper's claims, checked where every sequence can be listed.</summary>
internal static class TheoryCommand
{
    public static Command Create()
    {
        var seed = CommonOptions.Seed(1);
        var vocabulary = CommonOptions.Within("--vocabulary", "Number of tokens.", 4, 4, 6);
        var length = CommonOptions.Within("--length", "The longest sequence, in tokens.", 4, 2, 5);
        var beta = CommonOptions.Real("--beta", "Strength of the pull to the reference.", 0.5, static v => v is >= 0.1 and <= 10, "from 0.1 to 10");
        var json = new Option<bool>("--json") { Description = "JSON Lines, a claim a line, instead of a table." };
        var (threads, quiet) = (CommonOptions.Threads(), CommonOptions.Quiet());
        var command = new Command("theory", "Check the paper's claims exactly, in a world so small that every sequence can be listed.")
        {
            seed, vocabulary, length, beta, json, threads, quiet,
        };
        command.SetAction((parsed, cancellation) =>
        {
            var options = new TheoryOptions
            {
                Seed = parsed.GetValue(seed),
                Vocabulary = parsed.GetValue(vocabulary),
                Length = parsed.GetValue(length),
                Beta = parsed.GetValue(beta),
            };
            if (TheoryWorld.CountSequences(options.Vocabulary, options.Length) is var count and > TheoryWorld.MostSequences)
            {
                throw new UsageException(
                    $"--vocabulary {options.Vocabulary} with --length {options.Length} makes {count} sequences, and at most {TheoryWorld.MostSequences} are listed: give less of either");
            }
            using var backend = new CpuBackend(parsed.GetValue(threads) ?? CommonOptions.DefaultThreads());
            var claims = RunConsole.Run(parsed.GetValue(quiet), log => TheoryRun.Run(options, backend, log, cancellation: cancellation));
            return Task.FromResult(Report(claims, options, parsed.GetValue(json)));
        });
        return command;
    }

    /// <summary>Prints the claims; the exit code is 1 where one fails.</summary>
    internal static int Report(IReadOnlyList<Claim> claims, TheoryOptions options, bool json)
    {
        if (!json)
        {
            TheoryTable.Print(claims, options);
        }
        foreach (var claim in json ? claims : [])
        {
            // JSON has no NaN.
            double? measured = double.IsFinite(claim.Measured) ? claim.Measured : null;
            JsonLine.Write(new { claim = claim.Text, equation = claim.Equation, measured, bound = claim.Bound, holds = claim.Holds });
        }
        return claims.All(static claim => claim.Holds) ? CommandLine.Success : CommandLine.Failure;
    }
}
