using System.Text;
using System.Text.Json;
using FsCheck;
using FsCheck.Fluent;
using TinyDpo.Dpo;
using TinyDpo.Models;

namespace TinyDpo.Tests;

public class PreferenceDataTests
{
    private static readonly ByteTokenizer Tokenizer = new();

    private TemporaryFolder folder = null!;

    [SetUp]
    public void SetUp() => folder = new();

    [TearDown]
    public void TearDown() => folder.Dispose();

    private (PreferencePair[] Pairs, PreferenceSummary Summary) Read(
        string text, ITokenizer? tokenizer = null, PreferenceDataOptions? options = null, bool noTokenizer = false)
    {
        File.WriteAllText(folder.File("pairs.jsonl"), text);
        return ReadData.Pairs(folder.File("pairs.jsonl"), noTokenizer ? null : tokenizer ?? Tokenizer, options);
    }

    private static (string Prompt, string Chosen, string Rejected) Texts(PreferencePair pair) =>
        (Tokenizer.Decode(pair.Prompt), Tokenizer.Decode(pair.Chosen), Tokenizer.Decode(pair.Rejected));

    private static int[] Bytes(string text) => [.. Encoding.UTF8.GetBytes(text).Select(b => (int)b)];

    [Test]
    public void TextIsEncodedApartAndEndsOnce()
    {
        var (pairs, summary) = Read("""

            {"prompt": "ab", "chosen": "c</s>", "rejected": "d</s></s>", "chosen_reward": 1}
            {"prompt": "", "chosen": "e</s>f", "rejected": "g"}
            """);
        Assert.That(pairs[0].Line, Is.EqualTo(2));
        Assert.That(pairs[0].Prompt, Is.EqualTo([ByteTokenizer.Bos, .. Bytes("ab")]));
        Assert.That(pairs[0].Chosen, Is.EqualTo([.. Bytes("c"), ByteTokenizer.Eos]));
        Assert.That(pairs[0].Rejected, Is.EqualTo([.. Bytes("d"), ByteTokenizer.Eos]));
        Assert.That(pairs[1].Prompt, Is.EqualTo(new[] { ByteTokenizer.Bos }));
        Assert.That(pairs[1].Chosen, Is.EqualTo([.. Bytes("e"), ByteTokenizer.Eos, .. Bytes("f"), ByteTokenizer.Eos]));
        Assert.That((summary.Read, summary.Kept, summary.Longest, summary.Truncated), Is.EqualTo((2, 2, 5, 0)));
        Assert.That((summary.MeanPrompt, summary.MeanChosen, summary.MeanRejected), Is.EqualTo((2, 3, 2)));
    }

    [Test]
    public void IdsAreTakenAsTheyAre()
    {
        var (pairs, _) = Read("""{"prompt_ids": [7, 9], "chosen_ids": [1], "rejected_ids": [2, 3], "chosen": 5}""", noTokenizer: true);
        Assert.That((pairs[0].Prompt, pairs[0].Chosen, pairs[0].Rejected), Is.EqualTo((new[] { 7, 9 }, new[] { 1 }, new[] { 2, 3 })));
    }

    /// <summary>What the writer writes the reader gives back, whatever the characters.</summary>
    [Test]
    public void TextsGoThroughTheFileUnchanged() =>
        Prop.ForAll<NonNull<string>, NonNull<string>, NonNull<string>>((a, b, c) =>
        {
            var (prompt, chosen, rejected) = (Unicode(a), Unicode(b) + "x", Unicode(c) + "y\u2028\"\\\n😀");
            PairWriter.Write(folder.File("pairs.jsonl"), [new(prompt, chosen, rejected, 0.1, -1e-9), new(prompt, rejected, chosen, 1, 0)]);
            var (pairs, _) = ReadData.Pairs(folder.File("pairs.jsonl"), Tokenizer);
            var row = JsonDocument.Parse(File.ReadLines(folder.File("pairs.jsonl")).First()).RootElement;
            return Texts(pairs[0]) == (prompt, chosen, rejected) && Texts(pairs[1]) == (prompt, rejected, chosen) &&
                row.GetProperty("chosen_reward").GetDouble() == 0.1 && row.GetProperty("rejected_reward").GetDouble() == -1e-9;
        }).QuickCheckThrowOnFailure();

    [Test]
    public void AnImplicitPromptIsSharedAndNothingIsLost() =>
        Prop.ForAll<NonNull<string>, NonNull<string>, NonNull<string>>((a, b, c) =>
        {
            var (chosen, rejected) = (Unicode(a) + Unicode(b) + "x", Unicode(a) + Unicode(c) + "y");
            var pair = Read(JsonSerializer.Serialize(new { chosen, rejected })).Pairs[0];
            var (prompt, left, right) = Texts(pair);
            return prompt + left == chosen && prompt + right == rejected && left.Length > 0 && right.Length > 0 &&
                (left[0] == ' ' || left[0] != right[0] || char.IsHighSurrogate(left[0]) ||
                    left.StartsWith(right, StringComparison.Ordinal) || right.StartsWith(left, StringComparison.Ordinal));
        }).QuickCheckThrowOnFailure();

    // The results of TRL's extract_prompt; but for a first character that differs, where its index runs to -1.
    [TestCase("The sky is blue.", "The sky is green.", "The sky is")]
    [TestCase("The sky is blue.", "The sky is black.", "The sky is bl")]
    [TestCase("blue", "green", "")]
    [TestCase(" a", " b", "")]
    [TestCase("a  b", "a  c", "a ")]
    [TestCase("abc", "abcdef", "ab")]
    [TestCase("same", "same", "sam")]
    [TestCase("x\ud83d\ude00", "x\ud83d\ude01", "x")] // a character is not cut in two
    [TestCase("x\ud83d\ude00", "x\ud83d\ude00", "x")]
    public void ImplicitPromptsAreThoseOfTrl(string chosen, string rejected, string prompt) =>
        Assert.That(chosen[..ImplicitPrompt.Length(chosen, rejected)], Is.EqualTo(prompt));

    [TestCase("""{"prompt": [USER], "chosen": [A], "rejected": [B]}""")]
    [TestCase("""{"chosen": [USER, A], "rejected": [USER, B]}""")]
    [TestCase("""{"prompt": "Hi", "chosen": [USER, A], "rejected": [USER, B]}""")] // the string only repeats the first turn
    public void ConversationsAreRenderedAsChatMl(string pattern)
    {
        var row = pattern.Replace("USER", """{"role": "user", "content": "Hi"}""")
            .Replace("A]", """{"role": "assistant", "content": "A"}]""")
            .Replace("B]", """{"role": "assistant", "content": "B"}]""");
        Assert.That(Texts(Read(row).Pairs[0]), Is.EqualTo(
            ("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", "A<|im_end|>\n", "B<|im_end|>\n")));
        var ended = Read(row, new ByteTokenizer(endMarker: "<|im_end|>")).Pairs[0];
        Assert.That(ended.Chosen, Is.EqualTo([.. Bytes("A"), ByteTokenizer.Eos]), "the end marker is the end of sequence: once, and last");
    }

    [Test]
    public void AnOpenTurnOfTheAssistantIsContinued()
    {
        ChatMessage[] prompt = [new("user", "Hi"), new("assistant", "Well")];
        Assert.That(ChatTemplate.ChatMl.RenderPrompt(prompt), Does.EndWith("<|im_start|>assistant\nWell"));
        Assert.That(ChatTemplate.ChatMl.RenderCompletion(prompt, [new("user", "?")]), Is.EqualTo("<|im_end|>\n<|im_start|>user\n?<|im_end|>\n"));
        Assert.That(ChatTemplate.ChatMl.RenderCompletion(prompt[..1], [new("user", "?")]), Is.Null);
    }

    [Test]
    public void ALongPromptLosesItsStartAndALongCompletionItsEnd()
    {
        const string row = """{"prompt": "abcdefgh", "chosen": "1234567", "rejected": "12"}""";
        var (pairs, summary) = Read(row, options: new() { MaxPromptLength = 4, MaxLength = 8 });
        Assert.That(pairs[0].Prompt, Is.EqualTo([ByteTokenizer.Bos, .. Bytes("fgh")]));
        Assert.That(pairs[0].Chosen, Is.EqualTo(Bytes("1234")));
        Assert.That(pairs[0].Rejected, Is.EqualTo([.. Bytes("12"), ByteTokenizer.Eos]));
        Assert.That((summary.Truncated, summary.Longest), Is.EqualTo((1, 8)));
        Assert.That(Read(row, new ByteTokenizer(hasBos: false), new() { MaxPromptLength = 4 }).Pairs[0].Prompt, Is.EqualTo(Bytes("efgh")));
        Assert.That(Read(row, options: new() { MaxLength = 17 }).Summary.Truncated, Is.Zero);
        Assert.That(Read(row, options: new() { MaxLength = 16 }).Summary.Truncated, Is.EqualTo(1));
        Assert.That(() => Read(row, options: new() { MaxLength = 16, Strict = true }),
            Throws.TypeOf<InputException>().With.Message.Contains("line 1"));
        Assert.That(() => Read(row, options: new() { MaxPromptLength = 8, Strict = true }), Throws.TypeOf<InputException>());
    }

    [Test]
    public void TruncationNeverEmptiesACompletionAndCountsWhatItDrops() =>
        Prop.ForAll<PositiveInt, PositiveInt, PositiveInt[]>((maxLength, maxPrompt, lengths) =>
        {
            int[] sizes = [1, .. lengths.Select(l => l.Get)];
            var text = string.Join('\n', sizes.Select(n => JsonSerializer.Serialize(
                new { prompt = new string('p', n), chosen = new string('c', 1 + (n % 7)), rejected = new string('r', n) })));
            var options = new PreferenceDataOptions { MaxLength = maxLength.Get + 3, MaxPromptLength = maxPrompt.Get };
            var (pairs, summary) = Read(text, options: options);
            return summary.Read == sizes.Length && summary.Kept == pairs.Length && summary.Kept + summary.DroppedCount == summary.Read &&
                pairs.Select(p => p.Line).Concat(summary.Dropped.Select(d => d.Line)).Order()
                    .SequenceEqual(Enumerable.Range(1, sizes.Length)) &&
                pairs.All(p => p.Prompt.Length > 0 && p.Chosen.Length > 0 && p.Rejected.Length > 0 &&
                    p.Prompt.Length <= options.MaxPromptLength &&
                    p.Prompt.Length + Math.Max(p.Chosen.Length, p.Rejected.Length) <= options.MaxLength) &&
                summary.Dropped.All(d => Math.Min(sizes[d.Line - 1] + 1, maxPrompt.Get) >= options.MaxLength);
        }).QuickCheckThrowOnFailure();

    [Test]
    public void DroppedPairsAreNamed()
    {
        var (pairs, summary) = Read("""
            {"prompt": "abcdef", "chosen": "1", "rejected": "2"}
            {"prompt": "a", "chosen": "1", "rejected": "1"}
            """, options: new() { MaxLength = 5 });
        Assert.That(pairs.Single().Line, Is.EqualTo(2));
        Assert.That(summary.Dropped.Single().Line, Is.EqualTo(1));
        Assert.That(summary.Identical, Is.EqualTo(1));
        Assert.That(summary.Describe(), Does.Contain("line 1 dropped").And.Contain("2 rows read, 1 kept"));
    }

    [TestCase("", "no usable pairs")]
    [TestCase("\n \n", "no usable pairs")]
    [TestCase("""{"prompt": "a", "chosen": "b"}""", "line 1: has no 'rejected'")]
    [TestCase("""{"prompt": "a", "rejected": "b"}""", "has no 'chosen'")]
    [TestCase("""{"prompt": "a", "chosen": 3, "rejected": "b"}""", "'chosen' is a number")]
    [TestCase("""{"prompt": null, "chosen": "c", "rejected": "b"}""", "'prompt' is null")]
    [TestCase("""{"prompt": "a", "chosen": "c", "rejected": ["b"]}""", "'rejected' is a list")]
    [TestCase("""{"prompt": "a", "chosen": "", "rejected": "b"}""", "'chosen' is an empty completion")]
    [TestCase("""{"prompt": "a", "chosen": "b", "rejected": "</s>"}""", "'rejected' is an empty completion")]
    [TestCase("""{"chosen": "", "rejected": "b"}""", "'chosen' is an empty completion")]
    [TestCase("""{"prompt": "a", "chosen": "\ud800", "rejected": "b"}""", "half of a surrogate pair")]
    [TestCase("""{"prompt_ids": [1], "chosen_ids": [2], "rejected_ids": [258]}""", "token id 258")]
    [TestCase("""{"prompt_ids": [1], "chosen_ids": [-1], "rejected_ids": [2]}""", "token id -1")]
    [TestCase("""{"prompt_ids": [1], "chosen_ids": [1.5], "rejected_ids": [2]}""", "1.5 at position 0")]
    [TestCase("""{"prompt_ids": [1], "chosen_ids": [], "rejected_ids": [2]}""", "'chosen_ids' is empty")]
    [TestCase("""{"prompt_ids": [], "chosen_ids": [1], "rejected_ids": [2]}""", "'prompt_ids' is empty")]
    [TestCase("""{"prompt_ids": [1], "chosen": "a", "rejected": "b"}""", "has no 'chosen_ids'")]
    [TestCase("""{"prompt": [], "chosen": [], "rejected": []}""", "'chosen' has no message")]
    [TestCase("""{"chosen": [{"role": "user"}], "rejected": [{"role": "user"}]}""", "not a role and a content")]
    [TestCase("""{"chosen": [{"role": "user", "content": "a"}], "rejected": [{"role": "user", "content": "b"}]}""", "share no message")]
    [TestCase("""{"prompt": [{"role": "user", "content": "a"}], "chosen": "b", "rejected": "c"}""", "'chosen' is a string, not a list")]
    [TestCase("""["a"]""", "line 1: is not a JSON object")]
    [TestCase("""{"prompt": """, "line 1, byte 12: not valid JSON")]
    public void BadRowsAreNamed(string text, string expected) =>
        Assert.That(() => Read(text), Throws.TypeOf<InputException>().With.Message.Contains(expected).And.Message.Contains("pairs.jsonl"));

    [Test]
    public void AnEmptyPromptNeedsABeginningOfSequence() =>
        Assert.That(() => Read("""{"chosen": "a", "rejected": "b"}""", new ByteTokenizer(hasBos: false)),
            Throws.TypeOf<InputException>().With.Message.Contains("line 1").And.Message.Contains("prompt is empty"));

    [Test]
    public void FilesThatCannotBeReadAreNamed()
    {
        File.WriteAllBytes(folder.File("latin.jsonl"), [0x22, 0xe9, 0x22]);
        foreach (var (path, problem) in new[]
            { (folder.File("latin.jsonl"), "UTF-8"), (folder.File("none"), "there is no such file"), (folder.Path, "folder") })
        {
            Assert.That(() => ReadData.Pairs(path, Tokenizer), Throws.TypeOf<InputException>().With.Message.Contains(problem));
        }
        Assert.That(() => Read("""{"prompt": "a", "chosen": "b", "rejected": "c"}""", noTokenizer: true),
            Throws.TypeOf<InputException>().With.Message.Contains("no tokenizer"));
    }

    private static string Unicode(NonNull<string> text) => string.Concat(text.Get.Where(c => !char.IsSurrogate(c))).Replace("</s>", "");
}
