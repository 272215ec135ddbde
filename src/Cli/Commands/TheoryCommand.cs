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
        var beta = CommonOptions.Real("--beta", "Strength of the pull to the reference.", 0.5, static v => v is >= 0.05 and <= 100, "from 0.05 to 100");
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
            if (parsed.GetValue(json))
            {
                foreach (var claim in claims)
                {
                    JsonLine.Write(new { claim = claim.Text, equation = claim.Equation, measured = double.IsFinite(claim.Measured) ? claim.Measured : (double?)null, bound = claim.Bound, holds = claim.Holds });
                }
            }
            else
            {
                TheoryTable.Print(claims, options);
            }
            return Task.FromResult(claims.All(static claim => claim.Holds) ? CommandLine.Success : CommandLine.Failure);
        });
        return command;
    }
}
