using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using FsCheck;
using FsCheck.Fluent;
using TinyDpo.Models;

namespace TinyDpo.Tests;

public partial class TokenizersByteLevelTests
{
    private static readonly Lazy<ITokenizer> Gpt2 = new(LoadGpt2);

    [Test]
    public void EncodesAsGpt2Does()
    {
        var texts = File.ReadAllText(Repository.Shared("data/tokenizer/llamacpp_gpt-2.inp")).Split("\n__ggml_vocab_test__\n");
        var lines = File.ReadAllText(Repository.Shared("data/tokenizer/llamacpp_gpt-2.out")).Split('\n');
        var tokenizer = Gpt2.Value;
        Assert.That((texts.Length, lines.Length), Is.EqualTo((47, 47)));
        Assert.That(tokenizer.EosId, Is.EqualTo(50256));
        Assert.That(tokenizer.BosId, Is.Null);
        Assert.Multiple(() =>
        {
            for (var i = 0; i < texts.Length; i++)
            {
                var expected = lines[i].Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(int.Parse);
                Assert.That(tokenizer.Encode(texts[i]), Is.EqualTo(expected), texts[i]);
                Assert.That(tokenizer.Decode(tokenizer.Encode(texts[i])), Is.EqualTo(texts[i]));
            }
        });
    }

    [Test]
    public void Gpt2SavedAndLoadedIsTheSame()
    {
        using var folder = new TemporaryFolder();
        var loaded = TokenizersSamples.SavedAndLoaded(Gpt2.Value, folder);
        const string text = "It's 3.14 — naïve 日本語 😀<|endoftext|>\r\n  end";
        Assert.That(loaded.Encode(text), Is.EqualTo(Gpt2.Value.Encode(text)));
    }

    [GeneratedRegex(@"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")]
    private static partial Regex Gpt2Pattern { get; }

    [Test]
    public void WordsAreThoseOfGpt2sPattern() =>
        Prop.ForAll(TokenizersSamples.BasicPlaneText,
                text => Words(text).SequenceEqual(Gpt2Pattern.Matches(text).Select(match => match.Value)))
            .Check(Config.QuickThrowOnFailure.WithMaxTest(1000));

    [TestCase("a\U0001D400b\U00020000 \U0001D7CE1!😀", new[] { "a\U0001D400b\U00020000", " \U0001D7CE1", "!😀" })]
    [TestCase("it's we'll  you'RE\n\n x", new[] { "it", "'s", " we", "'ll", " ", " you", "'", "RE", "\n\n", " x" })]
    [TestCase("a \t ", new[] { "a", " \t " })]
    [TestCase("a\nb", new[] { "a", "\n", "b" })]
    public void WordsBeyondThePlainCases(string text, string[] expected) => Assert.That(Words(text), Is.EqualTo(expected));

    [Test]
    public void AnyTextSurvivesTheRoundTrip()
    {
        var tokenizer = TokenizersSamples.Trained();
        Prop.ForAll(TokenizersSamples.AnyText, text =>
            tokenizer.Decode(tokenizer.Encode(text)) == text
            && tokenizer.DecodeContinuation(tokenizer.EncodeContinuation(text)) == text).QuickCheckThrowOnFailure();
    }

    [Test]
    public void AnyBytesDecodeAsUtf8Does()
    {
        var tokenizer = TokenizersSamples.Trained();
        var idOfByte = Enumerable.Range(0, 256).Select(value =>
            tokenizer.Model.Pieces.ToList().IndexOf(ByteAlphabet.Characters[value].ToString())).ToArray();
        Prop.ForAll(Gen.Choose(0, 255).ListOf().ToArbitrary(), values =>
        {
            var bytes = values.Select(value => (byte)value).ToArray();
            return tokenizer.Decode([.. values.Select(value => idOfByte[value])]) == Encoding.UTF8.GetString(bytes);
        }).QuickCheckThrowOnFailure();
        Assert.That(tokenizer.Decode([idOfByte[0xE6], idOfByte['a']]), Is.EqualTo("\uFFFDa"));
    }

    [Test]
    public void SpecialTokensAreCutOutOfTheTextAndLeftOutOfIt()
    {
        // The one is the beginning of the other: the longer must win.
        var tokenizer = TokenizersSamples.Trained("<|endoftext|>", "<x>", "<x>>");
        Assert.That(tokenizer.Encode("<x>><x><|endoftext|>"), Is.EqualTo(new[] { 2, 1, 0 }));
        Assert.That(tokenizer.Encode("low<|endoftext|> low"),
            Is.EqualTo([.. tokenizer.Encode("low"), 0, .. tokenizer.Encode(" low")]));
        Assert.That(tokenizer.Decode(tokenizer.Encode("low<|endoftext|> low")), Is.EqualTo("low low"));
        Assert.That(tokenizer.Encode("<|endoftext"), Has.None.EqualTo(0));
    }

    [Test]
    public void AnAddedTokenMaySwallowTheSpaceAroundIt()
    {
        using var folder = new TemporaryFolder();
        TokenizersSamples.Trained("<|endoftext|>", "<x>").Save(folder.Path);
        TokenizersSamples.Edit(folder.File("tokenizer.json"), root =>
        {
            root["added_tokens"]![1]!["lstrip"] = true;
            root["added_tokens"]![1]!["rstrip"] = true;
        });
        var tokenizer = TokenizerFile.Load(folder.Path);
        Assert.That(tokenizer.Encode("low \n<x>  low <x>"), Is.EqualTo([.. tokenizer.Encode("low"), 1, .. tokenizer.Encode("low"), 1]));
    }

    [Test]
    public void ATemplateMayPutABeginningInFront()
    {
        using var folder = new TemporaryFolder();
        TokenizersSamples.Trained("<|endoftext|>", "<s>").Save(folder.Path);
        TokenizersSamples.Edit(folder.File("tokenizer_config.json"), root =>
        {
            root["add_bos_token"] = true;
            root["bos_token"] = new JsonObject { ["content"] = "<s>" };
        });
        var tokenizer = TokenizerFile.Load(folder.Path);
        Assert.That(tokenizer.BosId, Is.EqualTo(1));
        Assert.That(tokenizer.Encode(""), Is.EqualTo(new[] { 1 }));
        Assert.That(tokenizer.EncodeContinuation(""), Is.Empty);
        // What Save wrote for it is a post_processor, which says so by itself too.
        tokenizer.Save(folder.Path);
        TokenizersSamples.Edit(folder.File("tokenizer_config.json"), root => root.Remove("add_bos_token"));
        Assert.That(TokenizerFile.Load(folder.Path).BosId, Is.EqualTo(1));
    }

    [Test]
    public void ALongWordIsEncodedAsThePlainLoopDoes()
    {
        var tokenizer = TokenizersSamples.Trained();
        var text = string.Concat(Enumerable.Repeat("lowernewest", 3000));
        var pieces = tokenizer.Model.Pieces.ToList();
        var row = text[..330].Select(letter => pieces.IndexOf(letter.ToString())).ToArray();
        var length = new MergeTable(tokenizer.Model.Merges).ApplyPlainly(row);
        Assert.That(tokenizer.Encode(text[..330]), Is.EqualTo(row[..length]));
        Assert.That(tokenizer.Decode(tokenizer.Encode(text)), Is.EqualTo(text));
    }

    [Test]
    public void IdsThatOnlyTheModelHasAreLeftOutAndNegativeOnesRefused()
    {
        var tokenizer = TokenizersSamples.Trained();
        var ids = tokenizer.Encode("low");
        Assert.That(tokenizer.Decode([.. ids, tokenizer.VocabSize, 1_000_000]), Is.EqualTo("low"));
        Assert.That(() => tokenizer.Decode([-1]), Throws.InstanceOf<ArgumentOutOfRangeException>());
    }

    [Test]
    public void AFolderMayHoldVocabularyAndMergesApart()
    {
        var tokenizer = TokenizerFile.Load(Repository.Shared("data/weights/tiny_gpt2"));
        Assert.That((tokenizer.VocabSize, tokenizer.BosId, tokenizer.EosId), Is.EqualTo((21, (int?)null, 20)));
        // "low" ends as the piece " low"; 'x' is no piece and becomes <unk>.
        Assert.That(tokenizer.Encode("er low<|endoftext|>x"), Is.EqualTo(new[] { 15, 14, 20, 19 }));
    }

    private static ITokenizer LoadGpt2()
    {
        using var folder = new TemporaryFolder();
        File.Copy(Repository.Shared("data/tokenizer/gpt2_vocab.json"), folder.File("vocab.json"));
        File.Copy(Repository.Shared("data/tokenizer/gpt2_merges.txt"), folder.File("merges.txt"));
        return TokenizerFile.Load(folder.Path);
    }

    private static List<string> Words(string text)
    {
        var words = new List<string>();
        for (var from = 0; from < text.Length; from += words[^1].Length)
        {
            words.Add(text.Substring(from, Gpt2Words.FirstLength(text.AsSpan(from))));
        }
        return words;
    }
}
