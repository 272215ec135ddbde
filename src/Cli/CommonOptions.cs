using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Cli;

/// <summary>Options that several commands share. Each call makes a new one: an option belongs to its command.</summary>
internal static class CommonOptions
{
    private const string ThreadsVariable = "TINYDPO_THREADS";
    private const int MostThreads = 1024;
    private static readonly string ThreadsRange = $"a whole number from 1 to {MostThreads}";

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

    public static Option<string?> EvalData() => new("--eval-data") { Description = "Held-out pairs, measured before and after as eval_*.", HelpName = "FILE.jsonl" };

    public static Option<int> EvalEvery() => Count("--eval-every", "Steps between further measurements of --eval-data; 0 for none.", 0);

    public static Option<bool> Resume() => new("--resume") { Description = "Go on from the newest checkpoint in --out." };

    public static Option<bool> DryRun() => new("--dry-run")
    {
        Description = "Train nothing and write nothing: say what memory, operations and steps the run would take, and whether it fits.",
    };

    public static Option<int?> MaxLength() => Limit("--max-length", "The most tokens of prompt and completion; default: the model's context.", 2);

    public static Option<int?> MaxPromptLength() => Limit("--max-prompt-length", "The most tokens of a prompt; longer ones are cut from the left.", 1);

    public static Option<int> TokenBudget() =>
        Positive("--token-budget", "The most tokens run at a time; batches are cut into micro-batches.", SftTask.DefaultTokenBudget);

    public static Argument<string> Workload() => new("WORKLOAD.json") { Description = "Shape, seed, beta and pairs." };

    public static Option<string?> TensorBoard() => new("--tensorboard") { Description = "Write the metrics as a TensorBoard event file into this folder too.", HelpName = "DIR" };

    public static Option<ulong> Seed(ulong value = 0) => new("--seed")
    {
        Description = "Seed of every random number.",
        HelpName = "N",
        DefaultValueFactory = _ => value,
        CustomParser = static result => Parse(
            result, static text => (ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var seed), seed), WholeFrom(0)),
    };

    public static Choice<ChatTemplate?> ChatTemplate() => new(
        "--chat-template", "How conversations become text; own: as the tokenizer's chat_template says, chatml where it has none.", "own",
        [("own", null), .. Dpo.ChatTemplate.All.Select(static t => (t.Name, (ChatTemplate?)t))]);

    public static Choice<NumberFormat> SaveFormat() => new(
        "--save-dtype", "The numbers in the saved model; all computing is in float32.", "f32",
        ("f32", NumberFormat.F32), ("f16", NumberFormat.F16), ("bf16", NumberFormat.BF16));

    public static Option<long> MaxShardSize() => new("--max-shard-size")
    {
        Description = "The most bytes of weights in a file, as 200MB or 5GB; more are cut into shards with an index.",
        HelpName = "SIZE",
        DefaultValueFactory = _ => ShardedWriter.DefaultShardBytes,
        CustomParser = static result => Parse(
            result, static text => (ByteSize.TryParse(text, out var bytes), bytes), "a size above 0 such as 200MB, 5GB or 2GiB"),
    };

    public static Option<bool> Quiet() => new("--quiet") { Description = "No progress and no notes on stderr." };

    public static Option<int?> Threads() => new("--threads")
    {
        Description = $"Number of threads; default: {ThreadsVariable}, else the machine's cores.",
        HelpName = "N",
        CustomParser = static result => Parse(result, static text => (TryThreads(text, out var threads), (int?)threads), ThreadsRange),
    };

    public static Option<int> Positive(string name, string description, int value) => Whole(name, description, value, 1);

    public static Option<int> Count(string name, string description, int value) => Whole(name, description, value, 0);

    /// <summary>A whole number from a short range.</summary>
    public static Option<int> Within(string name, string description, int value, int least, int most) => new(name)
    {
        Description = description,
        HelpName = "N",
        DefaultValueFactory = _ => value,
        CustomParser = result => Parse(
            result, text => (TryWhole(text, least, out var number) && number <= most, number), $"a whole number from {least} to {most}"),
    };

    /// <summary>A limit that need not be given.</summary>
    public static Option<int?> Limit(string name, string description, int least) => new(name)
    {
        Description = description,
        HelpName = "N",
        CustomParser = result => Parse(result, text => (TryWhole(text, least, out var value), (int?)value), WholeFrom(least)),
    };

    public static Option<double> Real(string name, string description, double value, Func<double, bool> allows, string range) => new(name)
    {
        Description = description,
        HelpName = "X",
        DefaultValueFactory = _ => value,
        CustomParser = result => Parse(
            result,
            text => (double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && allows(number), number),
            $"a number {range}"),
    };

    /// <summary>The one value of an option, or null and a complaint that names the option, the value and what it takes.</summary>
    public static T? Parse<T>(ArgumentResult result, Func<string, (bool Fits, T Value)> parse, string takes)
    {
        var text = result.Tokens[0].Value;
        if (parse(text) is (true, var value))
        {
            return value;
        }
        result.AddError($"{((OptionResult)result.Parent!).Option.Name} takes {takes}, not '{text}'");
        return default;
    }

    /// <summary>Threads where --threads is not given.</summary>
    /// <exception cref="UsageException">The variable that stands in for --threads holds no number of threads.</exception>
    public static int DefaultThreads() =>
        Environment.GetEnvironmentVariable(ThreadsVariable) is { Length: > 0 } text && !TryThreads(text, out _)
            ? throw new UsageException($"{ThreadsVariable} takes {ThreadsRange}, not '{text}'")
            : CpuBackend.DefaultThreads();

    private static Option<int> Whole(string name, string description, int value, int least) => new(name)
    {
        Description = description,
        HelpName = "N",
        DefaultValueFactory = _ => value,
        CustomParser = result => Parse(result, text => (TryWhole(text, least, out var number), number), WholeFrom(least)),
    };

    private static string WholeFrom(int least) => $"a whole number from {least}";

    private static bool TryWhole(string text, int least, out int value) =>
        int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out value) && value >= least;

    private static bool TryThreads(string text, out int threads) => TryWhole(text, 1, out threads) && threads <= MostThreads;
}
