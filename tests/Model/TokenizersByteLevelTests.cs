using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using FsCheck;
using FsCheck.Fluent;
using TinyDpo.Kernels;
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

    [GeneratedRegex(
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        RegexOptions.CultureInvariant)]
    private static partial Regex Llama3Pattern { get; }

    [GeneratedRegex(
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        RegexOptions.CultureInvariant)]
    private static partial Regex Qwen2Pattern { get; }

    [Test]
    public void WordsAreThoseOfLlama3sAndQwen2sPatterns()
    {
        Assert.That(WordPattern.Llama3.Expression, Is.EqualTo(Llama3Pattern.ToString()));
        Assert.That(WordPattern.Qwen2.Expression, Is.EqualTo(Qwen2Pattern.ToString()));
        Prop.ForAll(TokenizersSamples.BasicPlaneText,
                text => Words(text, WordPattern.Llama3).SequenceEqual(Llama3Pattern.Matches(text).Select(match => match.Value))
                    && Words(text, WordPattern.Qwen2).SequenceEqual(Qwen2Pattern.Matches(text).Select(match => match.Value)))
            .Check(Config.QuickThrowOnFailure.WithMaxTest(1000));
    }

    [TestCase("It'S 12345!\r\n\n x", new[] { "It", "'S", " ", "123", "45", "!\r\n\n", " x" }, new[] { "It", "'S", " ", "1", "2", "3", "4", "5", "!\r\n\n", " x" })]
    [TestCase("(a\U0001D400 \n  \n  b", new[] { "(a\U0001D400", " \n  \n", " ", " b" }, null)]
    [TestCase("'\u017F\U0001D7CE\u3000\u3000a", new[] { "'\u017F", "\U0001D7CE", "\u3000", "\u3000a" }, null)]
    public void WordsOfTheLaterPatterns(string text, string[] llama3, string[]? qwen2)
    {
        Assert.That(Words(text, WordPattern.Llama3), Is.EqualTo(llama3));
        Assert.That(Words(text, WordPattern.Qwen2), Is.EqualTo(qwen2 ?? llama3));
    }

    /// <summary>A tokenizer.json as Llama 3 and Qwen2 have it: a Split before ByteLevel, words that are pieces taken whole, NFC.</summary>
    [Test]
    public void TheFilesOfLaterTokenizersAreReadAndWritten()
    {
        using var folder = new TemporaryFolder();
        TokenizersSamples.Trained().Save(folder.Path);
        TokenizersSamples.Edit(folder.File("tokenizer.json"), root =>
        {
            var vocabulary = root["model"]!["vocab"]!.AsObject();
            vocabulary["Ġzq"] = vocabulary.Count; // no merge leads to it
            root["model"]!["ignore_merges"] = true;
            root["normalizer"] = JsonNode.Parse("""{ "type": "NFC" }""");
            root["pre_tokenizer"] = new JsonObject
            {
                ["type"] = "Sequence",
                ["pretokenizers"] = new JsonArray(
                    new JsonObject
                    {
                        ["type"] = "Split",
                        ["pattern"] = new JsonObject { ["Regex"] = WordPattern.Llama3.Expression },
                        ["behavior"] = "Isolated",
                        ["invert"] = false,
                    },
                    JsonNode.Parse("""{ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false }""")),
            };
        });
        var tokenizer = (ByteLevelTokenizer)TokenizerFile.Load(folder.Path);
        Assert.That(tokenizer.Model.Words, Is.EqualTo(WordPattern.Llama3));
        var pieces = tokenizer.Model.Pieces.ToList();
        Assert.That(tokenizer.Encode(" zq"), Is.EqualTo(new[] { pieces.IndexOf("Ġzq") }));
        Assert.That(tokenizer.Encode(" zqz"), Has.Length.GreaterThan(1));
        Assert.That(tokenizer.Encode("low low"), Is.EqualTo(TokenizersSamples.Trained().Encode("low low")));
        using var saved = new TemporaryFolder();
        var loaded = TokenizersSamples.SavedAndLoaded(tokenizer, saved);
        Assert.That(loaded.Encode("a zq 12345"), Is.EqualTo(tokenizer.Encode("a zq 12345")));
        TokenizersSamples.Edit(folder.File("tokenizer.json"), root => root["pre_tokenizer"]!["pretokenizers"]![0]!["pattern"]!["Regex"] = "\\w+");
        Assert.That(() => TokenizerFile.Load(folder.Path), Throws.TypeOf<InputException>().With.Message.Contains("pattern that is not supported"));
    }

    /// <summary>SmolLM2's: each digit alone, and the space before one too.</summary>
    [Test]
    public void DigitsStandAloneBeforeGpt2sWords()
    {
        var pattern = new Regex(WordPattern.DigitsThenGpt2.Expression, RegexOptions.CultureInvariant);
        Prop.ForAll(TokenizersSamples.BasicPlaneText, text =>
            Words(text, WordPattern.DigitsThenGpt2).SequenceEqual(pattern.Matches(text).Select(static match => match.Value))).QuickCheckThrowOnFailure();
        Assert.That(Words("in 2024,  12 x", WordPattern.DigitsThenGpt2), Is.EqualTo(["in", " ", "2", "0", "2", "4", ",", "  ", "1", "2", " x"]));
        using var folder = new TemporaryFolder();
        TokenizersSamples.Trained().Save(folder.Path);
        const string byteLevel = """{ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true }""";
        SetPreTokenizer($$"""{ "type": "Sequence", "pretokenizers": [{ "type": "Digits", "individual_digits": true }, {{byteLevel}}] }""");
        var tokenizer = (ByteLevelTokenizer)TokenizerFile.Load(folder.Path);
        Assert.That(tokenizer.Model.Words, Is.EqualTo(WordPattern.DigitsThenGpt2));
        using var saved = new TemporaryFolder();
        Assert.That(TokenizersSamples.SavedAndLoaded(tokenizer, saved).Encode("low 123"), Is.EqualTo(tokenizer.Encode("low 123")));
        SetPreTokenizer($$"""{ "type": "Sequence", "pretokenizers": [{ "type": "Digits", "individual_digits": false }, {{byteLevel}}] }""");
        Assert.That(() => TokenizerFile.Load(folder.Path), Throws.TypeOf<InputException>().With.Message.Contains("digits in runs are not supported"));

        void SetPreTokenizer(string json) => TokenizersSamples.Edit(folder.File("tokenizer.json"), root => root["pre_tokenizer"] = JsonNode.Parse(json));
    }

    /// <summary>5 MB: real text, and random bytes as UTF-8 reads them, which is mostly U+FFFD.</summary>
    [Test]
    public void FiveMegabytesSurviveTheRoundTrip()
    {
        var tokenizer = Gpt2.Value;
        var bytes = new byte[1 << 16];
        var text = new StringBuilder(File.ReadAllText(Repository.Shared("data/text/tinyshakespeare.txt")));
        text.Append(File.ReadAllText(Repository.Shared("data/tokenizer/corpus.en")));
        for (var block = 0; text.Length < 5_000_000; block++)
        {
            for (var i = 0; i < bytes.Length; i++)
            {
                bytes[i] = (byte)(256 * Philox.Uniform(7, RandomPurpose.Test, 0, block, i));
            }
            text.Append(Encoding.UTF8.GetString(bytes)).Append(text.ToString(block * 50_000 % 1_000_000, 200_000));
        }
        var whole = text.ToString();
        Assert.That(tokenizer.Decode(tokenizer.Encode(whole)), Is.EqualTo(whole));
    }

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

    private static List<string> Words(string text, WordPattern? pattern = null)
    {
        var words = new List<string>();
        for (var from = 0; from < text.Length; from += words[^1].Length)
        {
            words.Add(text.Substring(from, (pattern ?? WordPattern.Gpt2).FirstLength(text.AsSpan(from))));
        }
        return words;
    }
}
