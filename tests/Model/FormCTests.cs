using System.Text;
using System.Text.Json.Nodes;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>Unicode's normalization form C, and the tokenizers that ask for it.</summary>
public class FormCTests
{
    [TestCase("plain text, é too", "plain text, é too")]
    [TestCase("e\u0301", "\u00e9", TestName = "a letter and its mark")]
    [TestCase("\u1112\u1161\u11ab\u1100\u1173\u11af", "\ud55c\uae00", TestName = "Hangul of three parts")]
    [TestCase("\uac00\u11a7\uac00\u11a8", "\uac00\u11a7\uac01", TestName = "a trailing consonant that is none")]
    [TestCase("a\u0315\u0300\u05ae", "\u00e0\u05ae\u0315", TestName = "marks in the order of their classes")]
    [TestCase("a\u0323\u0307", "\u1ea1\u0307", TestName = "the first mark joins, the second has nothing to become")]
    [TestCase("a\u0307\u0323", "\u1ea1\u0307", TestName = "the same in the other order")]
    [TestCase("a\u0327\u0300", "\u00e0\u0327", TestName = "past a mark of a lower class")]
    [TestCase("a\u030b\u0301", "a\u030b\u0301", TestName = "a mark of the same class blocks")]
    [TestCase("\u0958\u0344", "\u0915\u093c\u0308\u0301", TestName = "what is taken apart for good")]
    [TestCase("\u212b\u2126", "\u00c5\u03a9", TestName = "signs that are letters")]
    [TestCase("\U00011099\U000110ba \U0001d15e", "\U0001109a \U0001d157\U0001d165", TestName = "beyond 16 bits")]
    [TestCase("\u0301e", "\u0301e", TestName = "a mark with nothing before it")]
    [TestCase("\ufb01\u2460", "\ufb01\u2460", TestName = "compatibility forms stay")]
    [TestCase("", "")]
    public void IsWhatUnicodeSays(string text, string expected)
    {
        Assert.That(FormC.Normalize(text), Is.EqualTo(expected));
        Assert.That(FormC.Normalize(expected), Is.EqualTo(expected), "form C stays");
    }

    /// <summary>Every character that the data names by itself, and random rows of them.</summary>
    [Test]
    public void IsWhatPythonSays()
    {
        int[] known = [.. FormC.Known()];
        var lines = known.Select(static code => new Rune(code).ToString())
            .Concat(Enumerable.Range(0, 20_000).Select(line => string.Concat(Enumerable.Range(0, 2 + (line % 5)).Select(place =>
            {
                // Half of them ordinary letters and their marks, which do compose.
                var index = Philox.Uniform(3, RandomPurpose.Test, 0, line, place);
                return new Rune(place % 2 == line % 2 ? known[(int)(index * known.Length)] : "aeouAEY\u0300\u0301\u0308\u0323\u0327\u0345"[(int)(index * 13)]).ToString();
            })))).ToList();
        var expected = Python(string.Join('\n', lines)).Split('\n');
        Assert.That(expected, Has.Length.EqualTo(lines.Count));
        for (var i = 0; i < lines.Count; i++)
        {
            Assert.That(FormC.Normalize(lines[i]), Is.EqualTo(expected[i]), string.Join(' ', lines[i].EnumerateRunes().Select(static r => $"{r.Value:X4}")));
        }
    }

    [TestCase("""{ "type": "NFC" }""")]
    [TestCase("""{ "type": "Sequence", "normalizers": [{ "type": "NFC" }] }""")]
    public void ATokenizerThatAsksForItGivesBothSpellingsTheSameIds(string normalizer)
    {
        using var folder = new TemporaryFolder();
        TokenizersSamples.Trained().Save(folder.Path);
        var before = TokenizerFile.Load(folder.Path);
        Assert.That(before.Encode("e\u0301"), Is.Not.EqualTo(before.Encode("\u00e9")));
        TokenizersSamples.Edit(folder.File("tokenizer.json"), root => root["normalizer"] = JsonNode.Parse(normalizer));
        var tokenizer = TokenizerFile.Load(folder.Path);
        Assert.That(tokenizer.Encode("low e\u0301"), Is.EqualTo(tokenizer.Encode("low \u00e9")).And.EqualTo(before.Encode("low \u00e9")));
        Assert.That(tokenizer.Decode(tokenizer.Encode("e\u0301")), Is.EqualTo("\u00e9"));
        Assert.That(tokenizer.Fingerprint, Is.Not.EqualTo(before.Fingerprint));
        tokenizer.Save(folder.File("saved"));
        Assert.That(TokenizerFile.Load(folder.File("saved")).Encode("e\u0301"), Is.EqualTo(before.Encode("\u00e9")), "what is saved asks for it too");
    }

    [TestCase("""{ "type": "NFKC" }""")]
    [TestCase("""{ "type": "Lowercase" }""")]
    [TestCase("""{ "type": "Sequence", "normalizers": [{ "type": "NFC" }, { "type": "NFD" }] }""")]
    public void AnotherNormalizerIsRefused(string normalizer)
    {
        using var folder = new TemporaryFolder();
        TokenizersSamples.Trained().Save(folder.Path);
        TokenizersSamples.Edit(folder.File("tokenizer.json"), root => root["normalizer"] = JsonNode.Parse(normalizer));
        Assert.That(
            () => TokenizerFile.Load(folder.Path),
            Throws.TypeOf<InputException>().With.Message.Contains("is not supported").And.Message.Contains("normalizer"));
    }

    private static string Python(string text)
    {
        const string script =
            "import sys, unicodedata; sys.stdout.buffer.write(unicodedata.normalize('NFC', sys.stdin.buffer.read().decode()).encode())";
        const string python = "/usr/bin/python3";
        if (!File.Exists(python))
        {
            Assert.Ignore($"needs {python}");
        }
        var start = new System.Diagnostics.ProcessStartInfo(python, ["-c", script]) { RedirectStandardInput = true, RedirectStandardOutput = true };
        using var process = System.Diagnostics.Process.Start(start)!;
        var output = new StreamReader(process.StandardOutput.BaseStream, Encoding.UTF8).ReadToEndAsync();
        process.StandardInput.BaseStream.Write(Encoding.UTF8.GetBytes(text));
        process.StandardInput.Close();
        process.WaitForExit();
        Assert.That(process.ExitCode, Is.Zero);
        return output.Result;
    }
}
