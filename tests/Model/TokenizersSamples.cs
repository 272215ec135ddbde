using System.Buffers.Binary;
using System.Text;
using System.Text.Json.Nodes;
using FsCheck;
using FsCheck.Fluent;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>Small tokenizers of both kinds and random texts, for the tests of tokenizers.</summary>
internal static class TokenizersSamples
{
    private const string Corpus = "low low low lower lower newest newest widest. The lower it's, the newer it'll be: 12 or 123!\n\n";

    /// <summary>Any text without lone surrogates: code points of every width, with what the tokenizers treat apart made frequent.</summary>
    public static Arbitrary<string> AnyText { get; } = TextOf(Gen.OneOf(
        Gen.Elements([.. " \n\t'sltdrevem<>|▁Ġé\u00A0\u2028".Select(character => (int)character)]),
        Gen.Choose(0, 0x7F), Gen.Choose(0x80, 0x7FF), Gen.Choose(0x800, 0xD7FF), Gen.Choose(0xE000, 0xFFFF),
        Gen.Choose(0x10000, 0x10FFFF)));

    /// <summary>As <see cref="AnyText"/>, of code points up to U+FFFF.</summary>
    public static Arbitrary<string> BasicPlaneText { get; } = TextOf(Gen.OneOf(
        Gen.Elements([.. " \n\t'sltdrevem1!é\u00A0\u0085\u2028\u3000".Select(character => (int)character)]),
        Gen.Choose(0, 0x7F), Gen.Choose(0x80, 0xD7FF), Gen.Choose(0xE000, 0xFFFF)));

    public static ByteLevelTokenizer Trained(params string[] specialTokens) =>
        BytePairTrainer.Train(Corpus, 300, specialTokens.Length == 0 ? ["<|endoftext|>", "<pad>"] : specialTokens);

    /// <summary>A TOK.bin of the control and byte pieces, then <paramref name="pieces"/>.</summary>
    public static byte[] TokBin(params (string Piece, float Score)[] pieces)
    {
        var control = new[] { "<unk>", "\n<s>\n", "\n</s>\n" }.Concat(Enumerable.Range(0, 256).Select(ByteFallbackTokenizer.ByteName));
        return RawTokBin([.. control.Select(piece => (piece, 0f)), .. pieces]);
    }

    public static byte[] RawTokBin((string Piece, float Score)[] pieces)
    {
        var content = new List<byte>();
        void Number(int value)
        {
            var bytes = new byte[sizeof(int)];
            BinaryPrimitives.WriteInt32LittleEndian(bytes, value);
            content.AddRange(bytes);
        }
        Number(pieces.Max(piece => Encoding.UTF8.GetByteCount(piece.Piece)));
        foreach (var (piece, score) in pieces)
        {
            Number(BitConverter.SingleToInt32Bits(score));
            Number(Encoding.UTF8.GetByteCount(piece));
            content.AddRange(Encoding.UTF8.GetBytes(piece));
        }
        return [.. content];
    }

    /// <summary>A byte-fallback tokenizer with a few merges, two pairs of which have the same score.</summary>
    public static ITokenizer SmallByteFallback(TemporaryFolder folder)
    {
        var file = folder.File("small.bin");
        File.WriteAllBytes(file,
            TokBin(("a", -9), ("b", -9), ("c", -9), (" ", -9), ("ab", -1), ("bc", -1), (" a", -2), (" ab", -3), ("é", -9)));
        return TokenizerFile.Load(file);
    }

    /// <summary>Changes one of the JSON files that <see cref="ITokenizer.Save"/> wrote.</summary>
    public static void Edit(string file, Action<JsonObject> change)
    {
        var root = JsonNode.Parse(File.ReadAllText(file))!.AsObject();
        change(root);
        File.WriteAllText(file, root.ToJsonString());
    }

    /// <summary>Saves, loads, and checks that the two are the same tokenizer.</summary>
    public static ITokenizer SavedAndLoaded(ITokenizer tokenizer, TemporaryFolder folder)
    {
        tokenizer.Save(folder.Path);
        var loaded = TokenizerFile.Load(folder.Path);
        Assert.Multiple(() =>
        {
            Assert.That(loaded, Is.TypeOf(tokenizer.GetType()));
            Assert.That(loaded.Fingerprint, Is.EqualTo(tokenizer.Fingerprint));
            Assert.That(loaded.VocabSize, Is.EqualTo(tokenizer.VocabSize));
            Assert.That((loaded.BosId, loaded.EosId), Is.EqualTo((tokenizer.BosId, tokenizer.EosId)));
        });
        return loaded;
    }

    private static Arbitrary<string> TextOf(Gen<int> codePoint) =>
        codePoint.Select(value => new Rune(value).ToString()).ListOf().Select(string.Concat).ToArbitrary();
}
