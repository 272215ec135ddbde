using TinyDpo.Dpo;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>Texts with summaries: what is read, and the one line that a bad row gets.</summary>
internal sealed class SummaryDataTests
{
    private TemporaryFolder _folder = null!;

    [SetUp]
    public void Open() => _folder = new TemporaryFolder();

    [TearDown]
    public void Close() => _folder.Dispose();

    [Test]
    public void RowsAreReadAndOtherKeysPassedOver()
    {
        var rows = SummaryData.Read(Write("""{"source": ["One.", "Two."], "target": ["A.", "B."], "title": "t"}""" + "\n\n" + """{"source": ["", "Three."], "target": ["C."]}""" + "\n"));
        Assert.That(rows.Select(static r => r.Text), Is.EqualTo(new[] { "One. Two.", "Three." }));
        Assert.That(rows.Select(static r => r.Line), Is.EqualTo(new[] { 1, 3 }));
        Assert.That(rows[0].Targets, Is.EqualTo(new[] { "A.", "B." }));
    }

    [TestCase("""{"source": ["One."]}""", "line 2", "has no 'target'")]
    [TestCase("""{"source": ["One."], "target": []}""", "line 2", "'target' holds no text")]
    [TestCase("""{"source": ["", " "], "target": ["A."]}""", "line 2", "'source' holds no text")]
    [TestCase("""{"source": "One.", "target": ["A."]}""", "line 2", "'source' is a string, not a list")]
    [TestCase("""{"source": ["One."], "target": [1]}""", "line 2", "'target' holds a number")]
    [TestCase("""["One."]""", "line 2", "not a JSON object")]
    public void ABadRowIsNamed(string row, params string[] texts)
    {
        var path = Write("""{"source": ["One."], "target": ["A."]}""" + "\n" + row + "\n");
        var message = Assert.Throws<InputException>(() => SummaryData.Read(path))!.Message;
        foreach (var text in (string[])[path, .. texts])
        {
            Assert.That(message, Does.Contain(text));
        }
    }

    [Test]
    public void TooFewRowsAreRefused()
    {
        var path = Write("""{"source": ["One."], "target": ["A."]}""");
        Assert.That(() => SummaryData.Read(path, least: 2), Throws.InstanceOf<InputException>().With.Message.Contains("too few rows, 1 of the 2"));
    }

    [TestCase("scitldr_a_train.jsonl", 1992, 1992)]
    [TestCase("scitldr_a_dev.jsonl", 619, 1453)]
    public void SciTldrIsRead(string file, int texts, int summaries)
    {
        var rows = SummaryData.Read(Repository.Shared("data/summarisation/" + file));
        Assert.That((rows.Length, rows.Sum(static r => r.Targets.Length)), Is.EqualTo((texts, summaries)));
    }

    private string Write(string text)
    {
        File.WriteAllText(_folder.File("rows.jsonl"), text);
        return _folder.File("rows.jsonl");
    }
}
