using System.Text.Json;
using TinyDpo.Cli;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>The summarisation experiment: its judging by hand, its prompts, and the whole of it in a tiny form.</summary>
internal sealed class SummariseTests
{
    private TemporaryFolder _folder = null!;

    [SetUp]
    public void Open() => _folder = new TemporaryFolder();

    [TearDown]
    public void Close() => _folder.Dispose();

    [Test]
    public void ThePersonsAnswerIsJudgedByTheOtherPeople()
    {
        var judge = new SummaryAnswers(
        [
            new SummaryExample(1, ["S one.", "More."], ["a b", "a b c d", "x y"]),
            new SummaryExample(2, ["S two."], ["c d"]),
            new SummaryExample(3, ["S three."], ["e f", "e f"]),
        ]);
        Assert.That(judge.HumanAnswers, Is.EqualTo(new[] { "a b", null, "e f" }));
        Assert.That(judge.FirstSentences, Is.EqualTo(new[] { "S one.", "S two.", "S three." }));

        // ROUGE-L 2 * 3 / (3 + 4), 1 and 1/2; the human answers have 2 * 2 / (2 + 4), none and 1; SFT's have 0, 1 and 2 * 2 / (7 + 2).
        string[] answers = ["a b d", "c d", "e g"], sft = ["z z z", "c d", "e f g g g g g"];
        var scores = judge.Judge(0, answers, sft);
        Assert.That(scores.RougeL.Estimate, Is.EqualTo(((6.0 / 7) + 1 + 0.5) / 3).Within(1e-12));
        Assert.That(scores.OtherTexts.Estimate, Is.EqualTo(2.0 / 5 / 3).Within(1e-12), "d of c d");
        Assert.That(scores.Words, Is.EqualTo(7.0 / 3).Within(1e-12));
        Assert.That(scores.BeatsHuman!.Value.Estimate, Is.EqualTo(0.5), "won and lost, of two that have a human answer");
        Assert.That(scores.BeatsSft.Estimate, Is.EqualTo(2.5 / 3).Within(1e-12), "won, tied, won");
        Assert.That((scores.BeatsSftOfLikeLength!.Value.Estimate, scores.BeatsSftOfLikeLength.Value.Count), Is.EqualTo((0.75, 2)), "two words are not like seven");

        var shifted = judge.Judge(0, ["c d", "e f", "a b"], sft);
        Assert.That(shifted.OtherTexts.Estimate, Is.EqualTo((1 + 1 + (2.0 / 3)) / 3).Within(1e-12));
        var human = judge.Judge(0, judge.HumanAnswers, sft);
        Assert.That(human.BeatsHuman, Is.Null);
        Assert.That((human.RougeL.Estimate, human.BeatsSft.Count), Is.EqualTo(((2.0 / 3 + 1) / 2, 2)), "over the texts that have one");
    }

    [Test]
    public void ALongTextIsCutBeforeTheCueAndALongSummaryHasNoEnd()
    {
        var tokenizer = new ByteTokenizer();
        var prompts = new SummaryPrompts(tokenizer, context: 20, maxTokens: 8);
        var (whole, cut) = (new SummaryExample(1, ["abcd"], ["x"]), new SummaryExample(2, ["abc", "def"], ["x"]));
        Assert.That((prompts.IsCut(whole), prompts.IsCut(cut)), Is.EqualTo((false, true)));
        Assert.That(prompts.Prompt(whole).Text, Is.EqualTo("abcd\nTL;DR:"));
        Assert.That(prompts.Prompt(cut).Text, Is.EqualTo("abc \nTL;DR:"));
        Assert.That(prompts.Summary("abc"), Is.EqualTo((int[])[.. tokenizer.EncodeContinuation(" abc"), tokenizer.EosId]));
        Assert.That(prompts.Summary("abcdefgh"), Is.EqualTo(tokenizer.EncodeContinuation(" abcdefg")));
    }

    [Test]
    public void EveryMethodHasItsRowAndNothingIsMadeTwice()
    {
        var arguments = Arguments(Rows("train.jsonl", 0, 40), Rows("held-out.jsonl", 39, 12));
        var first = CommandLineRun.Of(arguments).Succeeded().Output;
        foreach (var method in new[] { "Human", "First sentence", "SFT", "Preferred-FT", "DPO beta 0.5" })
        {
            Assert.That(first.Split($"\n| {method} | "), Has.Length.EqualTo(3), $"{method}: a row a temperature");
        }
        Assert.That(File.ReadAllText(_folder.File("out/summarise.md")).TrimEnd(), Is.EqualTo(first[..first.IndexOf("Written:", StringComparison.Ordinal)].TrimEnd()));

        var lost = _folder.File("out/seed-1/summarise/dpo-beta-0.5.json");
        var before = File.ReadAllText(lost);
        File.Delete(lost);
        Assert.That(CommandLineRun.Of(arguments).Succeeded().Output, Is.EqualTo(first));
        Assert.That(File.ReadAllText(lost), Is.EqualTo(before), "the same run, to the bit");
        File.Delete(lost);
        Directory.Delete(_folder.File("out/seed-1/summarise/model"), recursive: true);
        Assert.That(CommandLineRun.Of(arguments).Succeeded().Output, Is.EqualTo(first), "its model made again");

        Rows("train.jsonl", 0, 30);
        CommandLineRun.Of(arguments).AssertFails(CommandLine.Failure, "other settings", "--out");
    }

    [Test]
    public void WhereEachTextHasOneSummaryThereIsNoHumanRow()
    {
        var heldOut = Rows("held-out.jsonl", 40, 6, summaries: 1);
        var output = CommandLineRun.Of(Arguments(Rows("train.jsonl", 0, 20, summaries: 1), heldOut)).Succeeded().Output;
        Assert.That(output, Does.Contain("| First sentence | ").And.Not.Contain("| Human | ").And.Contain("of the 0 texts, of 6,"));
    }

    [Test]
    public void ASeedsModelsAreGivenBackWhenItsRunsAreMade()
    {
        using var backend = new CpuBackend(1);
        var options = new SummariseOptions
        {
            Out = _folder.File("out"),
            Data = Rows("train.jsonl", 0, 20),
            HeldOut = Rows("held-out.jsonl", 40, 6),
            Seeds = 2,
        };
        SummariseRun.Run(options.Quick(), backend, IRunLog.Silent);
        Assert.That(backend.Memory.Outstanding, Is.Zero);
    }

    [Test]
    public void BadInputIsOneLine()
    {
        var (train, heldOut) = (Rows("train.jsonl", 0, 10), Rows("held-out.jsonl", 10, 4));
        Fails(_folder.File("nowhere.jsonl"), heldOut, "nowhere.jsonl", "no such file");
        Fails(train, Write("one.jsonl", """{"source": ["A."], "target": ["B."]}"""), "one.jsonl", "too few rows, 1 of the 2");
        Fails(train, train, "train.jsonl", "no text that is not in");
        File.AppendAllText(train, """{"source": ["A."]}""" + "\n");
        Fails(train, heldOut, "train.jsonl, line 11", "has no 'target'");
        Assert.That(Directory.Exists(_folder.File("out")), Is.False);

        void Fails(string data, string others, params string[] texts) => CommandLineRun.Of(Arguments(data, others)).AssertFails(CommandLine.Failure, texts);
    }

    private string[] Arguments(string data, string heldOut) =>
        ["experiment", "summarise", "--quick", "--quiet", "--data", data, "--held-out", heldOut, "--out", _folder.File("out")];

    // Reports of the world of summaries; every other one may have a second summary. Rows of the same number are the same.
    private string Rows(string name, int from, int count, int summaries = 2) => Write(name, string.Concat(Enumerable.Range(from, count).Select(i =>
    {
        var (report, summary) = World.All.Single(static w => w.Name == "summaries").Sample(1, i);
        string[] targets = i % 2 == 0 || summaries == 1 ? [summary] : [summary, "someone did it."];
        return JsonSerializer.Serialize(new { source = report.Split(". "), target = targets }) + "\n";
    })));

    private string Write(string name, string text)
    {
        File.WriteAllText(_folder.File(name), text);
        return _folder.File(name);
    }
}
