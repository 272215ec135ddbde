using System.Text;
using System.Text.Json.Nodes;
using FsCheck;
using FsCheck.Fluent;
using TinyDpo.Models;

namespace TinyDpo.Tests;

public class TokenizersTrainerTests
{
    [Test]
    public void TrainsTheReferenceMergesAndVocabulary()
    {
        var corpus = File.ReadAllText(Repository.Shared("data/tokenizer/corpus.en"));
        var tokenizer = BytePairTrainer.Train(corpus, 500, ["<|endoftext|>"]);
        var model = tokenizer.Model;
        Assert.That(model.Merges.Select(merge => $"{model.Pieces[merge.Left]} {model.Pieces[merge.Right]}"),
            Is.EqualTo(File.ReadAllLines(Repository.Shared("data/tokenizer/train-bpe-reference-merges.txt"))));
        var vocabulary = JsonNode.Parse(File.ReadAllText(Repository.Shared("data/tokenizer/train-bpe-reference-vocab.json")))!.AsObject();
        Assert.That(model.Pieces, Is.EqualTo(vocabulary.OrderBy(entry => (int)entry.Value!).Select(entry => entry.Key)));
        Assert.That((tokenizer.EosId, tokenizer.BosId), Is.EqualTo((0, (int?)null)));
    }

    [Test]
    public void CountsKeptUpToDateMergeAsCountsTakenAnew() =>
        Prop.ForAll(Gen.Elements("a", "b", "ab", "ba", " ", "é").ListOf().Select(string.Concat).ToArbitrary(), text =>
        {
            var model = BytePairTrainer.Train(text, 257 + 12, ["<|endoftext|>"]).Model;
            var merges = model.Merges.Select(merge => (model.Pieces[merge.Left]!, model.Pieces[merge.Right]!));
            return PlainMerges(text, 257 + 12).SequenceEqual(merges);
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(300).WithEndSize(60));

    [Test]
    public void NothingMergesAcrossASpecialTokenOrBecomesOne()
    {
        var tokenizer = BytePairTrainer.Train("xy<|endoftext|>zxy<|endoftext|>z", 400, ["<|endoftext|>"]);
        Assert.That(tokenizer.Model.Pieces.Skip(257), Is.EqualTo(new[] { "xy", "zxy" }));
        Assert.That(BytePairTrainer.Train("Ġ the the the", 300, ["<|endoftext|>", "Ġthe"]).Model.Pieces, Is.Unique);
    }

    [Test]
    public void ASmallTextGivesASmallerVocabulary() =>
        Assert.That(BytePairTrainer.Train("ab", 1000, ["<end>"]).VocabSize, Is.EqualTo(258));

    [Test]
    public void TheSavedTokenizerGivesTheSameIds()
    {
        using var folder = new TemporaryFolder();
        var tokenizer = TokenizersSamples.Trained("<pad>", "<|endoftext|>", "a \"quoted\" one\n");
        var loaded = TokenizersSamples.SavedAndLoaded(tokenizer, folder);
        Assert.That(loaded.EosId, Is.EqualTo(1));
        Prop.ForAll(TokenizersSamples.AnyText, text => loaded.Encode(text).SequenceEqual(tokenizer.Encode(text)))
            .QuickCheckThrowOnFailure();
        const string text = "low a \"quoted\" one\nlower";
        Assert.That(loaded.Encode(text), Is.EqualTo(tokenizer.Encode(text)).And.Contains(2));
    }

    [Test]
    public void TheFingerprintChangesWithTheMerges() =>
        Assert.That(BytePairTrainer.Train("abab", 258, ["<end>"]).Fingerprint,
            Is.Not.EqualTo(BytePairTrainer.Train("acac", 258, ["<end>"]).Fingerprint).And.Length.EqualTo(64));

    [Test]
    public void ArgumentsThatMakeNoTokenizerAreRefused()
    {
        Assert.That(() => BytePairTrainer.Train("a", 300, []), Throws.ArgumentException);
        Assert.That(() => BytePairTrainer.Train("a", 300, ["<x>", "<x>"]), Throws.ArgumentException);
        Assert.That(() => BytePairTrainer.Train("a", 300, [""]), Throws.ArgumentException);
        Assert.That(() => BytePairTrainer.Train("a", 300, ["!"]), Throws.ArgumentException);
        Assert.That(() => BytePairTrainer.Train("a", 256, ["<x>"]), Throws.InstanceOf<ArgumentOutOfRangeException>());
    }

    // Counts every pair of every word anew for each merge.
    private static List<(string Left, string Right)> PlainMerges(string text, int vocabSize)
    {
        var words = new List<List<byte[]>>();
        for (var from = 0; from < text.Length;)
        {
            var word = text.Substring(from, WordPattern.Gpt2.FirstLength(text.AsSpan(from)));
            words.Add([.. Encoding.UTF8.GetBytes(word).Select(value => (byte[])[value])]);
            from += word.Length;
        }
        var pieces = new HashSet<string>();
        var merges = new List<(string, string)>();
        while (pieces.Count + 257 < vocabSize)
        {
            var counts = words.SelectMany(word => word.Zip(word.Skip(1)))
                .GroupBy(pair => (Left: Convert.ToHexString(pair.First), Right: Convert.ToHexString(pair.Second)))
                .OrderByDescending(group => group.Count())
                .ThenByDescending(group => group.Key.Left, StringComparer.Ordinal)
                .ThenByDescending(group => group.Key.Right, StringComparer.Ordinal)
                .FirstOrDefault();
            if (counts is null)
            {
                break;
            }
            var (left, right) = (Convert.FromHexString(counts.Key.Left), Convert.FromHexString(counts.Key.Right));
            merges.Add((ByteAlphabet.Piece(left), ByteAlphabet.Piece(right)));
            pieces.Add(ByteAlphabet.Piece([.. left, .. right]));
            foreach (var word in words)
            {
                for (var i = 0; i + 1 < word.Count; i++)
                {
                    if (word[i].SequenceEqual(left) && word[i + 1].SequenceEqual(right))
                    {
                        word[i] = [.. left, .. right];
                        word.RemoveAt(i + 1);
                    }
                }
            }
        }
        return merges;
    }
}
