using TinyDpo.Dpo;
using TinyDpo.Models;

namespace TinyDpo.Tests;

public class SftDataTests
{
    private static readonly ByteTokenizer Tokenizer = new();

    private TemporaryFolder folder = null!;

    [SetUp]
    public void SetUp() => folder = new();

    [TearDown]
    public void TearDown() => folder.Dispose();

    private string Write(string name, string text)
    {
        File.WriteAllText(folder.File(name), text);
        return folder.File(name);
    }

    [TestCase("""{"prompt": "a", "completion": "b"}""", new[] { 256, 97 }, new[] { 98, 257 })]
    [TestCase("""{"prompt_ids": [1, 2], "completion_ids": [3]}""", new[] { 1, 2 }, new[] { 3 })]
    [TestCase("""{"text": "ab"}""", new[] { 256 }, new[] { 97, 98, 257 })]
    [TestCase("""{"text": "ab</s>"}""", new[] { 256 }, new[] { 97, 98, 257 })]
    [TestCase("""{"prompt": "a", "chosen": "b", "rejected": "c"}""", new[] { 256, 97 }, new[] { 98, 257 })]
    [TestCase("""{"prompt_ids": [1, 2], "chosen_ids": [3], "rejected_ids": [4]}""", new[] { 1, 2 }, new[] { 3 })]
    public void RowsBecomePromptAndCompletion(string row, int[] prompt, int[] completion)
    {
        var (examples, summary) = ReadData.Examples(Write("sft.jsonl", row), Tokenizer);
        Assert.That((examples[0].Line, examples[0].Prompt, examples[0].Completion), Is.EqualTo((1, prompt, completion)));
        Assert.That((summary.Longest, summary.MeanCompletion), Is.EqualTo((prompt.Length + completion.Length, completion.Length)));
    }

    [Test]
    public void WithoutABeginningOfSequenceTheFirstTokenIsThePrompt()
    {
        var example = ReadData.Examples(Write("sft.jsonl", """{"text": "ab"}"""), new ByteTokenizer(hasBos: false)).Examples[0];
        Assert.That((example.Prompt, example.Completion), Is.EqualTo((new[] { 97 }, new[] { 98, 257 })));
    }

    [Test]
    public void ConversationsAndLimitsWorkAsForPairs()
    {
        const string row = """{"prompt": [{"role": "user", "content": "Hi"}], "completion": [{"role": "assistant", "content": "Yes"}]}""";
        var (examples, summary) = ReadData.Examples(Write("sft.jsonl", row), Tokenizer, new() { MaxPromptLength = 10, MaxLength = 13 });
        Assert.That(Tokenizer.Decode(examples[0].Prompt), Is.EqualTo("ssistant\n"), "beside the token that begins the sequence");
        Assert.That(Tokenizer.Decode(examples[0].Completion), Is.EqualTo("Yes"));
        Assert.That(summary.Truncated, Is.EqualTo(1));
    }

    [TestCase("", "no usable examples")]
    [TestCase("""{"prompt": "a"}""", "neither 'completion' nor 'text'")]
    [TestCase("""{"completion": "a"}""", "has no 'prompt'")]
    [TestCase("""{"prompt": "a", "completion": "</s>"}""", "empty completion")]
    [TestCase("""{"text": ""}""", "'text' is empty")]
    [TestCase("""{"text": 1}""", "'text' is a number")]
    [TestCase("""{"prompt": "a", "completion": [{"role": "assistant", "content": "b"}]}""", "'prompt' is a string")]
    public void BadRowsAreNamed(string row, string expected) =>
        Assert.That(() => ReadData.Examples(Write("sft.jsonl", row), Tokenizer),
            Throws.TypeOf<InputException>().With.Message.Contains(expected));

    [Test]
    public void PromptsComeFromTextOrJsonLines()
    {
        var text = PromptData.Read(Write("prompts.txt", "one \n\n{\"two\"}\n"), Tokenizer);
        Assert.That(text.Select(p => (p.Line, p.Text)), Is.EqualTo([(1, "one "), (3, "{\"two\"}")]));
        Assert.That(text[0].Ids, Is.EqualTo([256, .. "one ".Select(c => (int)c)]));

        var json = PromptData.Read(Write("prompts.jsonl", """
            {"prompt": "abc", "chosen": "x"}
            {"prompt_ids": [5, 6, 7]}
            {"prompt": [{"role": "user", "content": "Hi"}]}
            """), Tokenizer, new() { MaxPromptLength = 2 });
        Assert.That(json.Select(p => p.Text), Is.EqualTo(["abc", null, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"]));
        Assert.That(json.Select(p => p.Ids), Is.EqualTo(new[] { new[] { 256, 99 }, [6, 7], [256, 10] }));
    }

    [TestCase("prompts.jsonl", """{"text": "a"}""", "line 1: has neither")]
    [TestCase("prompts.jsonl", "", "holds no prompt")]
    [TestCase("prompts.jsonl", """{"prompt_ids": [400]}""", "token id 400")]
    [TestCase("prompts.txt", " \n", "holds no prompt")]
    public void BadPromptsAreNamed(string name, string text, string expected) =>
        Assert.That(() => PromptData.Read(Write(name, text), Tokenizer), Throws.TypeOf<InputException>().With.Message.Contains(expected));
}
