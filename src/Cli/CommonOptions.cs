using System.CommandLine;
using TinyDpo.Kernels;

namespace TinyDpo.Cli;

/// <summary>Options that several commands share. Each call makes a new one: an option belongs to its command.</summary>
internal static class CommonOptions
{
    public static Option<string> Model(string name = "--model") => new(name)
    {
        Description = "A Hugging Face folder, or a llama2.c FILE.bin with --tokenizer.",
        HelpName = "MODEL",
        Required = true,
    };

    public static Option<string?> Tokenizer() => new("--tokenizer")
    {
        Description = "A tokenizer.json, a folder that holds one, or a llama2.c TOK.bin; default: the model's own.",
        HelpName = "FILE",
    };

    public static Option<string> Data(string description) => new("--data") { Description = description, HelpName = "FILE.jsonl", Required = true };

    public static Option<string> Out(string description) => new("--out") { Description = description, HelpName = "PATH", Required = true };

    public static Option<ulong> Seed() => new("--seed") { Description = "Seed of every random number.", DefaultValueFactory = _ => 0UL };

    public static Option<bool> Quiet() => new("--quiet") { Description = "No progress and no notes on stderr." };

    public static Option<int?> Threads()
    {
        var option = new Option<int?>("--threads") { Description = "Number of threads; default: TINYDPO_THREADS, else the machine's cores." };
        option.Validators.Add(result => Check(result, result.GetValueOrDefault<int?>() is null or (>= 1 and <= 1024), "must be 1 to 1024"));
        return option;
    }

    public static Option<string> Device()
    {
        var option = new Option<string>("--device") { Description = "The device to compute on: cpu.", DefaultValueFactory = _ => "cpu" };
        option.Validators.Add(result => Check(
            result, result.GetValueOrDefault<string>() == "cpu", "only cpu is built in; `tinydpo devices` says why the rest is absent"));
        return option;
    }

    public static Option<int> Positive(string name, string description, int value) => Number(name, description, value, 1, int.MaxValue);

    public static Option<int> Count(string name, string description, int value) => Number(name, description, value, 0, int.MaxValue);

    public static Option<double> Real(string name, string description, double value, double low, double high)
    {
        var option = new Option<double>(name) { Description = description, DefaultValueFactory = _ => value };
        option.Validators.Add(result => Check(
            result, result.GetValueOrDefault<double>() is var v && v >= low && v <= high, FormattableString.Invariant($"must lie in [{low}, {high}]")));
        return option;
    }

    public static IBackend Open(ParseResult parsed, Option<int?> threads) => new CpuBackend(parsed.GetValue(threads));

    private static Option<int> Number(string name, string description, int value, int low, int high)
    {
        var option = new Option<int>(name) { Description = description, DefaultValueFactory = _ => value };
        option.Validators.Add(result => Check(result, result.GetValueOrDefault<int>() is var v && v >= low && v <= high, $"must be at least {low}"));
        return option;
    }

    private static void Check(System.CommandLine.Parsing.OptionResult result, bool holds, string message)
    {
        if (!holds)
        {
            result.AddError($"{result.Option.Name}: {message}");
        }
    }
}
