using System.IO.Compression;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using TinyDpo.Dpo;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>The files that preferences come in: lines, lists, packed ones, transcripts, other projects' keys.</summary>
public class DataFilesTests
{
    private const string Rows = """
        {"prompt": "a", "chosen": "b", "rejected": "c"}
        {"prompt": "d ] [ \" \\", "chosen": "e,", "rejected": "f}"}

        """;

    private TemporaryFolder _folder = null!;

    [SetUp]
    public void Open() => _folder = new TemporaryFolder();

    [TearDown]
    public void Close() => _folder.Dispose();

    [Test]
    public void LinesAndListsPackedOrNotAreTheSameRows()
    {
        var list = "\uFEFF \n[\n" + Rows.TrimEnd().Replace("}\n", "},\n\n") + "\n]\n";
        var expected = Read("rows.jsonl", Encoding.UTF8.GetBytes(Rows));
        Assert.That(expected.Select(static p => p.Line), Is.EqualTo(new[] { 1, 2 }));
        var ofList = Read("rows.json", Encoding.UTF8.GetBytes(list));
        Assert.That(ofList.Select(static p => p.Line), Is.EqualTo(new[] { 3, 5 }), "the lines on which the rows begin");
        Assert.That(ofList.Select(Ids), Is.EqualTo(expected.Select(Ids)));
        Assert.That(Read("rows.jsonl.gz", Packed(Encoding.UTF8.GetBytes(Rows))).Select(Ids), Is.EqualTo(expected.Select(Ids)));
        Assert.That(Read("rows.json.gz", Packed(Encoding.UTF8.GetBytes(list))).Select(Ids), Is.EqualTo(expected.Select(Ids)));
    }

    /// <summary>Rows beyond every buffer: what is read in pieces must be what is there.</summary>
    [Test]
    public void ALongListIsReadInPieces()
    {
        var texts = Enumerable.Range(0, 300).Select(static i => new string((char)('a' + (i % 26)), 7 * i % 1500) + "\\\"]").ToArray();
        var list = JsonSerializer.Serialize(texts.Select(static t => new { prompt = "p", chosen = "c" + t, rejected = "r" + t }));
        var pairs = Read("long.json", Encoding.UTF8.GetBytes(list));
        Assert.That(pairs.Select(static p => Encoding.UTF8.GetString([.. p.Chosen[1..^1].Select(static id => (byte)id)])), Is.EqualTo(texts));
    }

    [TestCase("[", "line 1: not valid JSON: the list does not end")]
    [TestCase("[\n{\"a\": 1", "line 2: not valid JSON: the list does not end")]
    [TestCase("[{},\n]", "line 2: not valid JSON: ']' is not expected here")]
    [TestCase("[,{}]", "line 1: not valid JSON: ',' is not expected here")]
    [TestCase("[{}] x", "'x' is not expected here")]
    [TestCase("[\n{\n\"a\" 1}]", "line 3, byte 5: not valid JSON")]
    [TestCase("[\n3]", "line 2: is not a JSON object")]
    [TestCase("[{}\n{}]", "line 2, byte 1: not valid JSON")]
    [TestCase("[]", "has no rows")]
    public void AListThatIsNoneIsRefusedWithItsLine(string text, string message) =>
        Assert.That(() => Read("bad.json", Encoding.UTF8.GetBytes(text.Replace("{}", Rows.Split('\n')[0]))), Throws.TypeOf<InputException>().With.Message.Contains(message));

    [Test]
    public void DamagedAndHostileGzipIsRefused()
    {
        var whole = Packed(Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat(Rows, 1000))));
        foreach (var damaged in new[] { whole[..(whole.Length / 2)], [.. whole[..20], .. new byte[40], .. whole[60..]], [0x1f, 0x8b, 1, 2, 3] })
        {
            Assert.That(() => Read("bad.gz", damaged), Throws.TypeOf<InputException>().With.Message.Contains("bad.gz"));
        }
        var bomb = Packed(new byte[1 << 26]);
        Assert.That(bomb, Has.Length.LessThan(1 << 17));
        Assert.That(() => Read("bomb.gz", bomb), Throws.TypeOf<InputException>().With.Message.Contains("bomb.gz, line 1: is longer than"));
        bomb = Packed(Encoding.UTF8.GetBytes(new string('\n', 1 << 26)));
        Assert.That(() => Read("bomb.gz", bomb), Throws.TypeOf<InputException>().With.Message.Contains("unpacks to more than 200 times its size"));
    }

    /// <summary>Wherever the cut falls, between lines, in one, in the trailer; and what is behind the end.</summary>
    [TestCase(".jsonl.gz")]
    [TestCase(".json.gz")]
    public void AGzipCutAnywhereOrWithMoreBehindIsRefused(string name)
    {
        var lines = Enumerable.Range(0, 400).Select(static i => $$"""{"prompt": "{{i * i}}", "chosen": "{{i * 7919 % 1000}}", "rejected": "c"}""").ToArray();
        var text = name == ".json.gz" ? "[" + string.Join(",\n", lines) + "]" : string.Join('\n', lines) + "\n";
        var member = Packed(Encoding.UTF8.GetBytes(text));
        foreach (var whole in name == ".json.gz" ? [member] : new[] { member, [.. member, .. member] })
        {
            foreach (var length in Enumerable.Range(1, 40).Select(i => whole.Length - i).Concat(Enumerable.Range(1, 20).Select(i => whole.Length * i / 23)).Where(n => n != member.Length))
            {
                Assert.That(() => Read("cut" + name, whole[..length]), Throws.TypeOf<InputException>()
                    .With.Message.EndsWith($"cut{name}: is cut short; copy or download it again"), $"{length} of {whole.Length}");
            }
            foreach (var behind in new byte[][] { [0], [.. "more"u8], new byte[20_000] })
            {
                Assert.That(() => Read("more" + name, [.. whole, .. behind]), Throws.TypeOf<InputException>()
                    .With.Message.EndsWith($"more{name}: has something behind its end that is no gzip; copy or download it again"));
            }
            Assert.That(Read("whole" + name, whole), Has.Length.EqualTo(400 * whole.Length / member.Length));
        }
    }

    /// <summary>A cut that falls exactly between two lines: the bytes up to a flush are whole lines.</summary>
    [Test]
    public void AGzipCutBetweenLinesIsRefused()
    {
        using var packed = new MemoryStream();
        using var gzip = new GZipStream(packed, CompressionLevel.Fastest);
        gzip.Write(Encoding.UTF8.GetBytes(Rows));
        gzip.Flush();
        Assert.That(() => Read("cut.gz", packed.ToArray()), Throws.TypeOf<InputException>().With.Message.Contains("cut.gz: is cut short"));
    }

    [Test]
    public void MembersOfEverySizeAreReadAsOne([Values(1, 2, 3, 4095, 4096, 8191, 8192, 8193, 70_000)] int length)
    {
        var text = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat(Rows, 1 + length / Rows.Length)));
        using var stored = new MemoryStream();
        for (var start = 0; start < text.Length; start += length)
        {
            using var gzip = new GZipStream(stored, CompressionLevel.NoCompression, leaveOpen: true);
            gzip.Write(text.AsSpan(start, Math.Min(length, text.Length - start)));
        }
        stored.Write(Packed([]));
        Assert.That(Read("members.gz", stored.ToArray()), Has.Length.EqualTo(2 * (1 + length / Rows.Length)));
    }

    /// <summary>Rows of other projects, whose question would be dropped.</summary>
    [TestCase("""{"question": "q", "chosen": "b", "rejected": "c"}""", "has 'question' but no 'prompt'; rename 'question' to 'prompt'")]
    [TestCase("""{"prompt": null, "question": "q", "chosen": [A], "rejected": [B]}""", "has 'question' but no 'prompt'; rename")]
    [TestCase("""{"system": "s", "question": "q", "chosen": "b", "rejected": "c"}""", "has 'system' and 'question' but no 'prompt'; join them in one 'prompt'")]
    [TestCase("""{"instruction": "i", "input": "", "chosen": "b", "rejected": "c"}""", "has 'instruction' but no 'prompt'; rename 'instruction' to 'prompt'")]
    [TestCase("""{"instruction": "i", "input": "j", "chosen": "b", "rejected": "c"}""", "has 'instruction' and 'input' but no 'prompt'; join")]
    [TestCase("""{"input": [U], "chosen": [A], "rejected": [B]}""", "has 'input' but no 'prompt'")]
    [TestCase("""{"system": "be brief", "chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c"}""", "has 'system' but no 'prompt'; put it first in 'chosen'")]
    [TestCase("""{"system": "be brief", "chosen": [U, A], "rejected": [U, B]}""", "has 'system' but no 'prompt'; put it first in 'chosen'")]
    [TestCase("""{"system": "be brief", "conversations": [U], "chosen": A, "rejected": B}""", "has 'system' beside 'conversations'; make it their first message")]
    [TestCase("""{"prompt": "q", "chosen": [S, A], "rejected": [S, B]}""", "'prompt' is a string that no message shared by 'chosen' and 'rejected' holds; give 'prompt' as a list")]
    [TestCase("""{"prompt": "q", "chosen": [U, A], "rejected": [U, B]}""", "'prompt' is a string that no message shared")]
    [TestCase("""{"chosen": "\n\nHuman: a\n\nAssistant:", "rejected": "\n\nHuman: a\n\nAssistant: b"}""", "'chosen' is an empty completion")]
    [TestCase("""{"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant:"}""", "'rejected' is an empty completion")]
    [TestCase("""{"chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d", "rejected": "\n\nHuman: a\n\nAssistant:"}""", "'rejected' is an empty completion")]
    public void APromptUnderAnotherKeyIsNotDropped(string row, string message) =>
        Assert.That(() => Read("row.jsonl", Messages(row)), Throws.TypeOf<InputException>().With.Message.Contains("line 1: " + message));

    /// <summary>Columns that say nothing new, or nothing of the prompt.</summary>
    [TestCase("""{"prompt": "q", "question": "p", "system": "s", "chosen": "b", "rejected": "c", "conversations": [U]}""")]
    [TestCase("""{"prompt": [U], "question": "p", "chosen": [A], "rejected": [B], "conversations": [U, A]}""")]
    [TestCase("""{"prompt": "Hi", "question": "p", "chosen": [U, A], "rejected": [U, B]}""")]
    [TestCase("""{"question": " Hi", "system": "s", "chosen": [S, U, A], "rejected": [S, U, B]}""")]
    [TestCase("""{"system": "", "input": 3, "question": null, "source": "x", "chosen": [U, A], "rejected": [U, B]}""")]
    [TestCase("""{"question": "why", "chosen": "\n\nHuman: why\n\nAssistant: b", "rejected": "\n\nHuman: why\n\nAssistant: c"}""")]
    [TestCase("""{"system": "", "question": "p", "conversations": [U], "chosen": A, "rejected": B}""")]
    [TestCase("""{"prompt": "q", "completion": "a", "label": true, "question": "p", "system": "s"}""")]
    public void OtherColumnsAreOfNoConcern(string row) => Assert.That(Read("row.jsonl", Messages(row)), Has.Length.EqualTo(1));

    private static byte[] Messages(string row) => Encoding.UTF8.GetBytes(Regex.Replace(row, @"\b[SUAB]\b(?=[],}])", static name => name.Value switch
    {
        "S" => """{"role": "system", "content": "s, q"}""",
        "U" => """{"role": "user", "content": "Hi"}""",
        _ => $$"""{"role": "assistant", "content": "{{name.Value}}"}""",
    }));

    [Test]
    public void ATranscriptsPromptEndsWithItsLastAssistant()
    {
        const string prompt = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: How?\n\nAssistant:";
        var pair = ReadRow(new { chosen = prompt + " So.", rejected = prompt + " So what." });
        Assert.That((Text(pair.Prompt[1..]), Text(pair.Chosen[..^1]), Text(pair.Rejected[..^1])), Is.EqualTo((prompt, " So.", " So what.")));
        // Where the transcripts part before, what they share is the prompt.
        pair = ReadRow(new { chosen = "\n\nHuman: A\n\nAssistant: b", rejected = "\n\nHuman: A\n\nAssistant: c\n\nHuman: d\n\nAssistant: e" });
        Assert.That(Text(pair.Prompt[1..]), Is.EqualTo("\n\nHuman: A\n\nAssistant:"));
        pair = ReadRow(new { chosen = "\n\nHuman: A\n\nAssistant: c\n\nHuman: d\n\nAssistant: e", rejected = "\n\nHuman: A\n\nAssistant: b" });
        Assert.That(Text(pair.Prompt[1..]), Is.EqualTo("\n\nHuman: A\n\nAssistant:"));
    }

    [Test]
    public void LlamaFactorysRowsAreConversations()
    {
        var pair = ReadRow(new
        {
            conversations = new[] { Turn("system", "s"), Turn("human", "q"), Turn("gpt", "a"), Turn("human", "r") },
            chosen = Turn("gpt", "yes"),
            rejected = Turn("gpt", "no"),
        });
        var expected = ReadRow(new
        {
            prompt = new object[] { Message("system", "s"), Message("user", "q"), Message("assistant", "a"), Message("user", "r") },
            chosen = new[] { Message("assistant", "yes") },
            rejected = new[] { Message("assistant", "no") },
        });
        Assert.That(Ids(pair), Is.EqualTo(Ids(expected)));
        Assert.That(() => ReadRow(new { conversations = new[] { Turn("human", "q") }, chosen = Turn("human", "x"), rejected = Turn("gpt", "no") }),
            Throws.TypeOf<InputException>().With.Message.Contains("line 1: 'chosen' answers with the role 'user'"));

        static object Turn(string from, string value) => new { from, value };
        static object Message(string role, string content) => new { role, content };
    }

    /// <summary>Found by the fuzz harness: a role or an id with line ends in it came into the message as it was.</summary>
    [TestCase("""{"prompt": [{"role": "user", "content": "q"}], "chosen": [{"role": "a\nb", "content": "x"}], "rejected": [{"role": "a", "content": "y"}]}""")]
    [TestCase("[{\"prompt_ids\": [[\n1]], \"chosen_ids\": [1], \"rejected_ids\": [1]}]")]
    public void WhatARowHoldsIsOneLineInAMessage(string text) =>
        Assert.That(() => Read("bad.json", Encoding.UTF8.GetBytes(text)), Throws.TypeOf<InputException>().With.Message.Not.Contains("\n"));

    [Test]
    public void LlamaFactorysDemonstrationIsReadWhole()
    {
        var path = Repository.Shared("data/preference/dpo_en_demo.json");
        var tokenizer = TokenizerFile.Load(Repository.Shared("data/weights/stories260K-hf"));
        var (pairs, summary) = ReadData.Pairs(path, tokenizer, new PreferenceDataOptions { MaxLength = 512, MaxPromptLength = 256 });
        Assert.That((summary.Read, summary.Kept), Is.EqualTo((300, 300)));
        Assert.That(summary.Truncated, Is.GreaterThan(200));
        Assert.That(summary.Longest, Is.EqualTo(512));
        Assert.That(pairs.Select(static p => p.Line), Is.Ordered.Ascending.And.Unique);
    }

    private PreferencePair[] Read(string name, byte[] bytes)
    {
        File.WriteAllBytes(_folder.File(name), bytes);
        return ReadData.Pairs(_folder.File(name), new ByteTokenizer()).Pairs;
    }

    private PreferencePair ReadRow(object row) => Read("row.jsonl", JsonSerializer.SerializeToUtf8Bytes(row))[0];

    private static byte[] Packed(byte[] bytes)
    {
        using var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.SmallestSize))
        {
            gzip.Write(bytes);
        }
        return packed.ToArray();
    }

    private static int[][] Ids(PreferencePair pair) => [pair.Prompt, pair.Chosen, pair.Rejected];

    private static string Text(int[] ids) => new ByteTokenizer().Decode(ids);
}
