using TinyDpo.Cli;

namespace TinyDpo.Tests;

/// <summary>What is wrong with the command line itself: exit code 2, and one line that names the option. No file is read for it.</summary>
internal sealed class BadUsageTests
{
    private const string Dpo = "dpo --model M --data D --out O ";
    private const string Sft = "sft --data D --out O ";
    private const string Pairs = "pairs --model M --prompts P --out O ";

    [TestCase("demp", "'demp'")]
    [TestCase("bench", "command")]
    [TestCase("bench step", "WORKLOAD.json")]
    [TestCase("oracle a b", "OUT.safetensors")]
    [TestCase("devices --nope", "'--nope'")]
    [TestCase("report R --out R/metrics.jsonl", "--out", ".html", "'R/metrics.jsonl'")]
    [TestCase("generate --prompt x", "--model")]
    [TestCase("generate --model M", "--prompt")]
    [TestCase("generate --model M --prompt x --nope", "'--nope'")]
    [TestCase("generate --model M --prompt x --max-tokens", "--max-tokens")]
    [TestCase("generate --model M --prompt x --max-tokens 0", "--max-tokens", "from 1", "'0'")]
    [TestCase("generate --model M --prompt x --max-tokens two", "--max-tokens", "'two'")]
    [TestCase("generate --model M --prompt x --max-tokens 99999999999", "--max-tokens")]
    [TestCase("generate --model M --prompt x --temperature -0.1", "--temperature")]
    [TestCase("generate --model M --prompt x --top-p 0", "--top-p")]
    [TestCase("generate --model M --prompt x --seed -1", "--seed", "'-1'")]
    [TestCase("generate --model M --prompt x --threads 0", "--threads", "1 to 1024")]
    [TestCase("generate --model M --prompt x --device gpu", "--device", "cpu, cuda, sim", "'gpu'")]
    [TestCase("generate --model M --prompt x --tf32", "--tf32", "--device cpu")]
    [TestCase("generate --model M --prompt x --device cuda --threads 2", "--threads", "--device cuda")]
    [TestCase(Dpo + "--eval-every 5", "--eval-every", "--eval-data")]
    [TestCase(Dpo + "--beta -1", "--beta", "above 0", "'-1'")]
    [TestCase(Dpo + "--beta 0", "--beta")]
    [TestCase(Dpo + "--beta x", "--beta")]
    [TestCase(Dpo + "--beta NaN", "--beta")]
    [TestCase(Dpo + "--label-smoothing 0.6", "--label-smoothing", "below 0.5")]
    [TestCase(Dpo + "--label-smoothing 0.5", "--label-smoothing")]
    [TestCase(Dpo + "--learning-rate 0", "--learning-rate")]
    [TestCase(Dpo + "--max-length 1", "--max-length", "from 2")]
    [TestCase(Dpo + "--max-prompt-length 0", "--max-prompt-length")]
    [TestCase(Dpo + "--optimizer adam", "--optimizer", "adamw, sgd, rmsprop")]
    [TestCase(Dpo + "--optimizer 1", "--optimizer")]
    [TestCase(Dpo + "--optimizer AdamW", "--optimizer")]
    [TestCase(Dpo + "--schedule step", "--schedule", "constant, linear, cosine")]
    [TestCase(Dpo + "--optimizer sgd --weight-decay 0.1", "--weight-decay", "--optimizer sgd")]
    [TestCase(Dpo + "--preset paper --weight-decay 0.1", "--weight-decay", "--optimizer rmsprop")]
    [TestCase(Dpo + "--preset mine", "--preset", "none, paper")]
    [TestCase(Dpo + "--beta 1 --beta 2", "--beta")]
    [TestCase(Dpo + "--max-shard-size 1.5GB", "--max-shard-size", "200MB", "'1.5GB'")]
    [TestCase(Dpo + "--max-steps 0", "--max-steps", "from 1")]
    [TestCase(Dpo + "--max-steps 5 --epochs 2", "--max-steps", "--epochs")]
    [TestCase("score --policy M --reference M --data D --chat-template gpt", "--chat-template", "chatml", "'gpt'")]
    [TestCase(Sft, "--model", "--config")]
    [TestCase(Sft + "--model M --config C --tokenizer T", "--model", "--config")]
    [TestCase(Sft + "--config C", "--tokenizer")]
    [TestCase(Pairs + "--reward sentiment", "--reward", "world, world:summaries, world:dialogue, lexicon:FILE or model:DIR", "'sentiment'")]
    [TestCase(Pairs + "--reward lexicon:", "--reward")]
    [TestCase(Pairs + "--reward world --scale 3", "--scale", "--labels ranked")]
    [TestCase(Pairs + "--reward world --pairing some", "--pairing", "best-worst, all")]
    [TestCase(Pairs + "--reward world --labels BradleyTerry", "--labels", "ranked, bradley-terry")]
    [TestCase(Dpo + "--loss hinge --label-smoothing 0.1", "--label-smoothing", "--loss hinge")]
    [TestCase(Dpo + "--loss sft --beta 0.1", "--beta", "--loss sft")]
    [TestCase(Dpo + "--loss sigmoid:-1", "--loss", "'sigmoid:-1'")]
    [TestCase(Dpo + "--f-divergence kl", "--f-divergence", "reverse_kl, forward_kl, js, alpha")]
    [TestCase(Dpo + "--f-alpha 0.3", "--f-alpha", "--f-divergence reverse_kl")]
    [TestCase(Dpo + "--loss aot --f-divergence js", "--f-divergence", "--loss aot")]
    [TestCase(Dpo + "--loss orpo --ld-alpha 0.5", "--ld-alpha", "--loss orpo")]
    [TestCase(Dpo + "--loss discopop --discopop-tau 2", "--discopop-tau", "at most 1")]
    [TestCase("score --policy M --reference M --data D --loss sigmoid --reduction sum", "--reduction", "--loss sigmoid")]
    [TestCase("score --policy M --reference M --data D --loss simpo --reference-free", "--reference-free", "--loss simpo")]
    [TestCase("score --policy M --reference M --data D --loss kto --wpo", "--wpo", "--loss kto")]
    [TestCase("score --policy M --reference M --data D --loss ipa", "--loss", "sigmoid", "'ipa'")]
    [TestCase("theory --vocabulary 7", "--vocabulary", "from 4 to 6", "'7'")]
    [TestCase("theory --length 1", "--length", "from 2 to 5")]
    [TestCase("theory --vocabulary 5 --length 5", "--vocabulary 5", "--length 5", "1365", "1024")]
    [TestCase("theory --beta 0", "--beta", "from 0.1 to 10", "'0'")]
    [TestCase("theory --device cpu", "'--device'")]
    [TestCase("eval --policy M --reference M --prompts P --reward world --temperature 0.5", "'--temperature'")]
    public void IsOneLineAndExitCode2(string args, params string[] texts) =>
        CommandLineRun.Of(args.Split(' ', StringSplitOptions.RemoveEmptyEntries)).AssertFails(CommandLine.BadUsage, [.. texts, "--help"]);

    private static IEnumerable<string> CommandLines() =>
        ["", .. CommandLine.Commands.Keys, "bench step", "bench sample", "bench kernels", "bench roofline"];

    [TestCaseSource(nameof(CommandLines))]
    public void HelpOfEveryCommandDescribesEveryOption(string command)
    {
        var help = CommandLineRun.Of([.. command.Split(' ', StringSplitOptions.RemoveEmptyEntries), "--help"]).Succeeded();
        Assert.That(help.Output, Does.StartWith("Description:"));
        foreach (var option in help.Lines.Where(static line => line.StartsWith("  --", StringComparison.Ordinal)))
        {
            Assert.That(option, Does.Match(@"^  --[a-z0-9-]+( <[^>]+>)?( \(REQUIRED\))? {2,}\S"), "a description, and no made-up name of the value");
        }
    }

    [Test]
    public void NoArgumentsAskForHelp() => Assert.That(CommandLineRun.Of().Succeeded().Output, Does.Contain("Usage:"));

    /// <summary>A command is made by the name that it bears, and all are made where none is named.</summary>
    [Test]
    public void EveryCommandIsFoundByItsName()
    {
        Assert.That(CommandLine.Commands.Select(static c => c.Value().Name), Is.EqualTo(CommandLine.Commands.Keys));
        var help = CommandLineRun.Of("--help").Succeeded().Lines;
        foreach (var name in CommandLine.Commands.Keys)
        {
            Assert.That(help, Has.Some.StartsWith($"  {name} "));
        }
    }
}
