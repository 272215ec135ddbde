using System.CommandLine;
using System.CommandLine.Invocation;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Cli;

/// <summary>The command tinydpo: every command parses, calls and prints, and computes nothing.</summary>
public static class CommandLine
{
    public const int Success = 0;
    public const int Failure = 1;
    public const int BadUsage = 2;
    public const int Interrupted = 130;

    /// <summary>How each command is made, in the order of --help.</summary>
    internal static OrderedDictionary<string, Func<Command>> Commands { get; } = new()
    {
        ["demo"] = DemoCommand.Create,
        ["experiment"] = ExperimentCommand.Create,
        ["sft"] = SftCommand.Create,
        ["dpo"] = DpoCommand.Create,
        ["reward-model"] = RewardModelCommand.Create,
        ["pairs"] = PairsCommand.Create,
        ["eval"] = EvalCommand.Create,
        ["generate"] = GenerateCommand.Create,
        ["tokenize"] = TokenizeCommand.Create,
        ["merge"] = MergeCommand.Create,
        ["score"] = ScoreCommand.Create,
        ["explain"] = ExplainCommand.Create,
        ["report"] = ReportCommand.Create,
        ["theory"] = TheoryCommand.Create,
        ["oracle"] = OracleCommand.Create,
        ["bench"] = BenchCommand.Create,
        ["profile"] = ProfileCommand.Create,
        ["devices"] = DevicesCommand.Create,
    };

    /// <summary>Parses and runs; never throws for bad input. Exit codes: 0, 1 for an error (one line on stderr), 2 for bad usage, 130 for Ctrl-C.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        // A prompt may begin with @: nothing is read from "response files".
        var parsed = Root(args).Parse(args.Length == 0 ? ["--help"] : args, new ParserConfiguration { ResponseFileTokenReplacer = null });
        if (parsed.Errors.Count > 0)
        {
            // What is not known explains what is missing: `tinydpo demp` lacks a command only because demp is none.
            var problem = parsed.UnmatchedTokens is [var unknown, ..]
                ? $"there is no command or option '{unknown}' here"
                : parsed.Errors[0].Message.TrimEnd('.');
            Complain($"{problem} (see --help)");
            return BadUsage;
        }
        // The library's own handling of signals ends the program at the second one.
        var configuration = new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null };
        using var interruption = parsed.Action is AsynchronousCommandLineAction ? new Interruption() : null;
        try
        {
            return await parsed.InvokeAsync(configuration, interruption?.Token ?? CancellationToken.None);
        }
        catch (OperationCanceledException e)
        {
            Complain(e is InterruptedException ? e.Message : "interrupted");
            return Interrupted;
        }
        catch (UsageException e)
        {
            Complain($"{e.Message} (see --help)");
            return BadUsage;
        }
        catch (Exception e) when (e is InputException or TrainingException || IsOfDevice(e))
        {
            Complain(e.Message);
            return Failure;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Complain($"{e.Message.TrimEnd('.')}; check that the path can be written and the disk has room");
            return Failure;
        }
        catch (NonFiniteException e)
        {
            Complain($"{e.Message}: the model's weights are damaged; copy or train them again");
            return Failure;
        }
        catch (OutOfMemoryException)
        {
            Complain("out of memory: close other programs, or give smaller batches (--token-budget, --gradient-checkpointing; --dry-run says what is needed)");
            return Failure;
        }
        catch (Exception e) when (Environment.GetEnvironmentVariable("TINYDPO_TRACE") is null)
        {
            Complain($"internal error: {e.Message}; please report it, with what TINYDPO_TRACE=1 shows");
            return Failure;
        }
    }

    /// <summary>All commands, or the one that is asked for: the others' options cost a tenth of a second to make.</summary>
    private static RootCommand Root(string[] args)
    {
        var root = new RootCommand("Direct Preference Optimization with nothing hidden.");
        IEnumerable<Func<Command>> wanted = args is [var name, ..] && Commands.TryGetValue(name, out var named) ? [named] : Commands.Values;
        foreach (var create in wanted)
        {
            root.Add(create());
        }
        return root;
    }

#if DOUBLE
    private static bool IsOfDevice(Exception e) => false;
#else
    private static bool IsOfDevice(Exception e) => e is CudaException or Simulator.SimulationException;
#endif

    // One line, whatever the message holds: a path or a text from a file may hold line ends.
    private static void Complain(string message) => Console.Error.WriteLine("tinydpo: " + message.ReplaceLineEndings(" "));
}

/// <summary>Options that do not go together: exit code 2.</summary>
internal sealed class UsageException(string message) : Exception(message);

/// <summary>Ctrl-C in the middle of long work: the message says what is saved and how to go on.</summary>
internal sealed class InterruptedException(string message, OperationCanceledException inner) : OperationCanceledException(message, inner, inner.CancellationToken);
