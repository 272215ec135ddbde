using System.IO.Compression;
using System.Text.Json;
using TinyDpo.Dpo;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>Data files are not held in memory, and what is read back is what stood in them.</summary>
public class TokenRowsTests
{
    private TemporaryFolder _folder = null!;

    [SetUp]
    public void Open() => _folder = new TemporaryFolder();

    [TearDown]
    public void Delete() => _folder.Dispose();

    [Test]
    public void RowsComeBackInAnyOrder()
    {
        using var rows = new TokenRows<(int Line, int[][] Ids)>(_folder.Path, static (line, ids) => (line, ids));
        var expected = TinyModels.Pairs(40).Select(static p => (p.Line, Ids: new[] { p.Prompt, p.Chosen, [], p.Rejected })).ToArray();
        foreach (var (line, ids) in expected)
        {
            rows.Add(line, ids);
        }
        Assert.That(rows, Has.Count.EqualTo(expected.Length));
        Assert.That(rows, Is.EqualTo(expected));
        foreach (var i in Enumerable.Range(0, expected.Length).Reverse())
        {
            Assert.That(rows[i], Is.EqualTo(expected[i]));
        }
    }

    /// <summary>8 bytes a row, up to 16 while the list of places grows; its tokens would take 1,200.</summary>
    [Test]
    public void ARowCostsTheBytesOfItsPlaceHoweverLongItIs()
    {
        const int rows = 20_000, tokens = 100;
        var ids = $"[{string.Join(',', Enumerable.Range(0, tokens))}]";
        File.WriteAllLines(_folder.File("pairs.jsonl"), Enumerable.Repeat($$"""{"prompt_ids": {{ids}}, "chosen_ids": {{ids}}, "rejected_ids": {{ids}}}""", rows));
        var before = GC.GetTotalMemory(forceFullCollection: true);
        using var pairs = PreferenceData.Read(_folder.File("pairs.jsonl"), tokenizer: null).Pairs;
        Assert.That(GC.GetTotalMemory(forceFullCollection: true) - before, Is.LessThan((16 * rows) + (1 << 18)));
        Assert.That(pairs, Has.Count.EqualTo(rows));
        Assert.That(pairs[rows - 1].Rejected, Has.Length.EqualTo(tokens));
    }

    [Test]
    public void APackedFileGivesTheSameRows()
    {
        var rows = TinyModels.Pairs(30).Select(static p => JsonSerializer.Serialize(new { prompt_ids = p.Prompt, chosen_ids = p.Chosen, rejected_ids = p.Rejected }));
        File.WriteAllLines(_folder.File("pairs.jsonl"), rows);
        using (var packed = new GZipStream(File.Create(_folder.File("pairs.jsonl.gz")), CompressionLevel.Fastest))
        {
            packed.Write(File.ReadAllBytes(_folder.File("pairs.jsonl")));
        }
        using var plain = PreferenceData.Read(_folder.File("pairs.jsonl"), null).Pairs;
        using var unpacked = PreferenceData.Read(_folder.File("pairs.jsonl.gz"), null).Pairs;
        Assert.That(unpacked.Select(static p => (p.Line, p.Prompt, p.Chosen, p.Rejected)), Is.EqualTo(plain.Select(static p => (p.Line, p.Prompt, p.Chosen, p.Rejected))));
    }

    /// <summary>A row that is bad after many good ones is named by file and line, and nothing is left.</summary>
    [Test]
    public void ABadRowAfterManyIsNamed()
    {
        const string good = """{"prompt_ids": [1], "chosen_ids": [2], "rejected_ids": [3]}""";
        File.WriteAllLines(_folder.File("pairs.jsonl"), [.. Enumerable.Repeat(good, 4000), """{"prompt_ids": [1], "chosen_ids": [2]}"""]);
        var options = new PreferenceDataOptions { ScratchFolder = _folder.File("out") };
        Assert.That(
            () => PreferenceData.Read(_folder.File("pairs.jsonl"), null, options),
            Throws.TypeOf<InputException>().With.Message.Contains("pairs.jsonl").And.Message.Contains("line 4001"));
        Assert.That(Directory.EnumerateFileSystemEntries(_folder.Path), Has.Exactly(1).Items, "the data alone");
    }
}
