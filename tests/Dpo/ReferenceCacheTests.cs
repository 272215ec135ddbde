using System.Security.Cryptography;
using System.Text;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Tests;

public class ReferenceCacheTests
{
    private TemporaryFolder _folder = null!;
    private CpuBackend _backend = null!;

    [SetUp]
    public void Open() => (_folder, _backend) = (new TemporaryFolder(), new CpuBackend(1));

    [TearDown]
    public void Close()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    [Test]
    public void TheReferenceIsCachedUntilWeightsDataOrTokenizerChange()
    {
        var reference = TinyModels.Create(_backend);
        var pairs = TinyModels.Pairs(12);
        var (file, tokens) = (_folder.File("cache.jsonl"), BytePairTrainer.Train("a text", 260, ["<end>"]));
        ReferenceLogProbs Get(Transformer model, PreferencePair[] data, ITokenizer tokenizer) =>
            ReferenceCache.LoadOrCompute(file, model, ModelFile.Fingerprint(model), tokenizer, data, IRunLog.Silent);
        bool IsCached(Transformer model, PreferencePair[] data, ITokenizer tokenizer)
        {
            Get(reference, pairs, tokens);
            Forge(file, static rows => rows.Skip(1).Prepend("""{"Chosen":-1234.5,"Rejected":-1}""")); // a number that no computation gives
            return Get(model, data, tokenizer).Chosen[0] == (Real)(-1234.5);
        }
        var computed = Get(reference, pairs, tokens);
        var read = Get(reference, pairs, tokens);
        Assert.That((read.Chosen, read.Rejected), Is.EqualTo((computed.Chosen, computed.Rejected)), "to the bit");

        Assert.That(IsCached(reference, pairs, tokens), Is.True);
        Assert.That(IsCached(reference, pairs[1..], tokens), Is.False, "fewer pairs");
        Assert.That(IsCached(reference, [.. pairs[1..], pairs[0]], tokens), Is.False, "another order");
        Assert.That(IsCached(reference, [.. pairs[..^1], pairs[^1] with { Chosen = [1, 2] }], tokens), Is.False, "another completion");
        Assert.That(IsCached(reference, pairs, new ByteTokenizer()), Is.False, "another tokenizer");
        var weights = reference.Clone();
        _backend.Upload([.. weights.Weights["model.norm.weight"].ToArray().Select(static w => Real.BitIncrement(w))], weights.Weights["model.norm.weight"].Data);
        Assert.That(IsCached(weights, pairs, tokens), Is.False, "other weights");

        Get(reference, pairs, tokens);
        File.WriteAllText(file, File.ReadAllText(file)[..^30]);
        Assert.That(Get(reference, pairs, tokens).Rejected, Is.EqualTo(computed.Rejected), "a torn cache");
        Assert.That(File.ReadAllLines(file), Has.Length.EqualTo(pairs.Length + 1));
    }

    /// <summary>Ids may not tell prompt from completion: (1 2)(3) and (1)(2 3) are not the same data.</summary>
    [Test]
    public void TheCachesKeyKnowsWhereAPromptEnds()
    {
        string Key(params int[][] ids) => ReferenceCache.Key("w", "t", [new PreferencePair(1, ids[0], ids[1], ids[2])]);
        Assert.That(Key([1, 2], [3], [4]), Is.Not.EqualTo(Key([1], [2, 3], [4])));
        Assert.That(Key([1], [2], [3, 4]), Is.Not.EqualTo(Key([1], [2, 3], [4])));
        Assert.That(Key([1], [2], [3]), Is.Not.EqualTo(Key([1], [3], [2])));
    }

    /// <summary>Rows that nobody wrote are computed anew, even where their hash fits.</summary>
    [Test]
    public void RowsThatDoNotHoldBothNumbersAreComputedAgain([Values(
        "null", "{}", """{"Chosen":-1}""", """{"Rejected":-1}""", "[]", "7", """{"Chosen":"a","Rejected":-1}""", "{")] string row)
    {
        var (model, pairs, file) = (TinyModels.Create(_backend), TinyModels.Pairs(3), _folder.File("cache.jsonl"));
        ReferenceLogProbs Get() => ReferenceCache.LoadOrCompute(file, model, "weights", new ByteTokenizer(), pairs, IRunLog.Silent);
        var computed = Get();
        var text = File.ReadAllText(file);
        Forge(file, rows => rows.Skip(1).Append(row));
        Assert.That(Get().Rejected, Is.EqualTo(computed.Rejected));
        Assert.That(File.ReadAllText(file), Is.EqualTo(text), "written again");
    }

    [Test]
    public void AChangedNumberOrHeaderIsComputedAgain()
    {
        var (model, pairs, file) = (TinyModels.Create(_backend), TinyModels.Pairs(3), _folder.File("cache.jsonl"));
        ReferenceLogProbs Get() => ReferenceCache.LoadOrCompute(file, model, "weights", new ByteTokenizer(), pairs, IRunLog.Silent);
        var computed = Get();
        var text = File.ReadAllText(file);
        var lines = text.Split('\n');
        foreach (var changed in new[]
        {
            string.Join('\n', [lines[0], """{"Chosen":-1,"Rejected":-2}""", .. lines[2..]]), string.Join('\n', ["null", .. lines[1..]]),
            string.Join('\n', ["[]", .. lines[1..]]), string.Join('\n', ["{}", .. lines[1..]]), "", "\n", lines[0],
        })
        {
            File.WriteAllText(file, changed);
            Assert.That(Get().Chosen, Is.EqualTo(computed.Chosen), changed);
            Assert.That(File.ReadAllText(file), Is.EqualTo(text));
        }
    }

    /// <summary>Changes the rows of a cache and makes its hash fit.</summary>
    internal static void Forge(string file, Func<IEnumerable<string>, IEnumerable<string>> change)
    {
        var lines = File.ReadAllLines(file);
        var rows = string.Concat(change(lines[1..]).Select(static line => line + "\n"));
        var hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(rows)));
        var at = lines[0].IndexOf("\"Rows\":\"", StringComparison.Ordinal) + 8;
        File.WriteAllText(file, $"{lines[0][..at]}{hash}{lines[0][(at + hash.Length)..]}\n{rows}");
    }
}
