using System.Text;
using System.Text.Json;
using TinyDpo.Models;

namespace TinyDpo.Tests;

public class JsonInputTests
{
    [Test]
    public void RowsComeWithTheirLineNumbers()
    {
        using var folder = new TemporaryFolder();
        var path = Write(folder, "\uFEFF{\"a\": 1}\r\n\n  \t\n[2]\n\"\\ud83d\\ude00\"");
        var rows = JsonInput.ReadLines(path).ToList();
        Assert.That(rows.Select(r => r.Line), Is.EqualTo(new[] { 1, 4, 5 }));
        Assert.That(rows[0].Row.GetProperty("a").GetInt32(), Is.EqualTo(1));
        Assert.That(rows[1].Row[0].GetInt32(), Is.EqualTo(2));
        Assert.That(rows[2].Row.GetString(), Is.EqualTo("😀"));
    }

    [Test]
    public void ATornLineIsNamedOnceTheLinesBeforeItAreRead()
    {
        using var folder = new TemporaryFolder();
        var path = Write(folder, "{\"a\": 1}\n\n{\"a\": 2}\n{\"a\": \"to");
        using var rows = JsonInput.ReadLines(path).GetEnumerator();
        Assert.That(rows.MoveNext() && rows.MoveNext(), Is.True);
        Assert.That(() => rows.MoveNext(), Throws.TypeOf<InputException>()
            .With.Message.StartsWith($"{path}, line 4, byte ").And.Message.EndsWith("; correct or delete the line"));
    }

    // Longer than the buffer, and not a multiple of it: lines meet its end everywhere.
    [Test]
    public void LinesOfAnyLengthComeWhole()
    {
        using var folder = new TemporaryFolder();
        var texts = Enumerable.Range(0, 40).Select(i => new string((char)('a' + i % 26), i * i * 197 % 200_003)).ToList();
        var path = Write(folder, string.Concat(texts.Select(t => $"\"{t}\"\n")));
        Assert.That(JsonInput.ReadLines(path).Select(r => r.Row.GetString()), Is.EqualTo(texts));
        Assert.That(JsonInput.ReadLines(path).Select(r => r.Line), Is.EqualTo(Enumerable.Range(1, 40)));
    }

    [TestCase("", "not valid JSON")]
    [TestCase("{\"a\": 1,\n \"b\": x}", "line 2, byte 7: not valid JSON: 'x' is an invalid start of a value")]
    [TestCase("{\"a\": 1} {}", "line 1, byte 10: not valid JSON")]
    [TestCase("{\"a\": NaN}", "line 1, byte 7: not valid JSON")]
    [TestCase("{\"a\": 1, \"a\": 2}", "uplicate")]
    [TestCase("{\"a\": 1, \"\\u0061\": 2}", "uplicate")]
    [TestCase("{\n\"a\": \"\\ud83d\"}", "line 2, byte 6: not valid JSON: an escape that is half of a surrogate pair")]
    [TestCase("{\"\\uDE00\": 1}", "line 1, byte 2: not valid JSON: an escape that is half of a surrogate pair")]
    public void AFileThatIsNotJsonIsRefused(string text, string message)
    {
        using var folder = new TemporaryFolder();
        var path = Write(folder, text);
        var thrown = Assert.Throws<InputException>(() => JsonInput.ReadFile(path).Dispose());
        Assert.That(thrown!.Message, Does.StartWith(path).And.Contain(message).And.EndWith("; correct the file"));
        Assert.That(thrown.Message, Does.Not.Contain("LineNumber").And.Not.Contain("\n"));
    }

    [Test]
    public void BytesThatAreNotUtf8AreRefused()
    {
        using var folder = new TemporaryFolder();
        var path = folder.File("latin1.json");
        File.WriteAllBytes(path, [.. "{}\n{\"a\": \"caf"u8, 0xe9, .. "\"}"u8]);
        Assert.That(() => JsonInput.ReadLines(path).Count(), Throws.TypeOf<InputException>()
            .With.Message.EqualTo($"{path}, line 2, byte 11: not valid JSON: a byte that is not UTF-8; correct or delete the line"));
        Assert.That(() => JsonInput.ReadFile(path), Throws.TypeOf<InputException>().With.Message.Contains("line 2, byte 11: "));
    }

    [TestCase(64, true)]
    [TestCase(65, false)]
    [TestCase(100_000, false)]
    public void DepthIsLimitedTo64(int depth, bool accepted)
    {
        using var folder = new TemporaryFolder();
        var path = Write(folder, new string('[', depth) + new string(']', depth));
        Assert.That(() => JsonInput.ReadFile(path).Dispose(), accepted ? Throws.Nothing : Throws.TypeOf<InputException>());
        Assert.That(() => JsonInput.ReadLines(path).Count(), accepted ? Is.EqualTo(1) : Throws.TypeOf<InputException>());
    }

    [Test]
    public void AMissingFileAndAFolderAreSaidSo()
    {
        using var folder = new TemporaryFolder();
        var absent = folder.File("absent.json");
        Assert.That(() => JsonInput.ReadFile(absent), Throws.TypeOf<InputException>()
            .With.Message.EqualTo($"{absent}: there is no such file; check the path"));
        Assert.That(() => JsonInput.ReadLines(folder.Path).Count(),
            Throws.TypeOf<InputException>().With.Message.Contains("is a folder, not a file"));
        Assert.That(() => JsonInput.ReadFile(""), Throws.TypeOf<InputException>());
    }

    [Test]
    public void ARowOutlivesTheEnumeration()
    {
        using var folder = new TemporaryFolder();
        var path = Write(folder, string.Concat(Enumerable.Range(0, 10_000).Select(i => $"{{\"i\": {i}}}\n")));
        List<JsonElement> rows = [.. JsonInput.ReadLines(path).Select(r => r.Row)];
        Assert.That(rows.Select(r => r.GetProperty("i").GetInt32()), Is.EqualTo(Enumerable.Range(0, 10_000)));
    }

    private static string Write(TemporaryFolder folder, string text)
    {
        var path = folder.File("input.json");
        File.WriteAllText(path, text, new UTF8Encoding(false));
        return path;
    }
}
