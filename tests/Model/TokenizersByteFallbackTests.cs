using System.Text.Json.Nodes;
using FsCheck;
using FsCheck.Fluent;
using TinyDpo.Models;

namespace TinyDpo.Tests;

public class TokenizersByteFallbackTests
{
    private const string HuggingFace = "data/weights/stories260K-hf";
    private const string Llama2c = "data/weights/tok512.bin";
    private static readonly List<string> SpecialTokens = ["<unk>", "<s>", "</s>"];

    [TestCase(HuggingFace)]
    [TestCase(Llama2c)]
    public void EncodesAndDecodesAllPublishedCases(string path)
    {
        var tokenizer = TokenizerFile.Load(Repository.Shared(path));
        var cases = Json("data/oracle/tok512_encodings.json")["cases"]!.AsArray();
        Assert.That(cases, Has.Count.AtLeast(30));
        Assert.Multiple(() =>
        {
            foreach (var one in cases)
            {
                var text = (string)one!["text"]!;
                if (path == HuggingFace && SpecialTokens.IndexOf(text) is >= 0 and var special)
                {
                    // To llama2.c's file, of which the cases are, that is text.
                    Assert.That(tokenizer.Encode(text), Is.EqualTo(new[] { 1, special }), text);
                    continue;
                }
                Assert.That(tokenizer.Encode(text), Is.EqualTo(Ids(one["ids"])), text);
                Assert.That(tokenizer.Decode(tokenizer.Encode(text)), Is.EqualTo(text));
                Assert.That(tokenizer.DecodeContinuation(tokenizer.EncodeContinuation(text)), Is.EqualTo(text));
            }
        });
    }

    [TestCase(HuggingFace)]
    [TestCase(Llama2c)]
    public void PromptsAndCompletionsAreThoseOfTheDpoOracle(string path)
    {
        var tokenizer = TokenizerFile.Load(Repository.Shared(path));
        Assert.That((tokenizer.VocabSize, tokenizer.BosId, tokenizer.EosId), Is.EqualTo((512, (int?)1, 1)));
        foreach (var pair in Json("data/oracle/stories260K_dpo.json")["pairs"]!.AsArray())
        {
            Assert.That(tokenizer.Encode((string)pair!["prompt"]!), Is.EqualTo(Ids(pair["prompt_ids"])));
            foreach (var name in new[] { "chosen", "rejected" })
            {
                var completion = (string)pair[name]!;
                var ids = tokenizer.EncodeContinuation(completion);
                Assert.That(ids.Append(tokenizer.EosId), Is.EqualTo(Ids(pair[name + "_ids"])));
                Assert.That(tokenizer.DecodeContinuation(ids), Is.EqualTo(completion));
            }
        }
    }

    [Test]
    public void TheTwoFilesEncodeAnyTextAlike()
    {
        var (json, bin) = (TokenizerFile.Load(Repository.Shared(HuggingFace)), TokenizerFile.Load(Repository.Shared(Llama2c)));
        // '▁' is a space to Hugging Face's file and three bytes to llama2.c's; special tokens are text to llama2.c's alone.
        Prop.ForAll(TokenizersSamples.AnyText, text => text.Contains('▁') || SpecialTokens.Exists(text.Contains) || json.Encode(text).SequenceEqual(bin.Encode(text)))
            .QuickCheckThrowOnFailure();
        var story = File.ReadAllText(Repository.Shared("data/tokenizer/tinystories_sample.txt"));
        Assert.That(json.Encode(story), Is.EqualTo(bin.Encode(story)));
        Assert.That(json.Decode(json.Encode(story)), Is.EqualTo(story));
    }

    [Test]
    public void AnyTextSurvivesTheRoundTrip()
    {
        using var folder = new TemporaryFolder();
        var tokenizer = TokenizersSamples.SmallByteFallback(folder);
        Prop.ForAll(TokenizersSamples.AnyText, text =>
            tokenizer.Decode(tokenizer.Encode(text)) == text
            && tokenizer.DecodeContinuation(tokenizer.EncodeContinuation(text)) == text).QuickCheckThrowOnFailure();
    }

    [Test]
    public void OfEqualScoresTheLeftmostPairMerges()
    {
        using var folder = new TemporaryFolder();
        var tokenizer = (ByteFallbackTokenizer)TokenizersSamples.SmallByteFallback(folder);
        var pieces = tokenizer.EncodeContinuation("abc").Select(id => tokenizer.Model.Pieces[id]);
        Assert.That(pieces, Is.EqualTo(new[] { "ab", "c" }));
    }

    [Test]
    public void TheSavedTokenizerGivesTheSameIds()
    {
        using var folder = new TemporaryFolder();
        var tokenizer = TokenizersSamples.SmallByteFallback(folder);
        var loaded = TokenizersSamples.SavedAndLoaded(tokenizer, folder);
        // Text of a, b, c alone reaches every tie.
        Prop.ForAll(Gen.Elements("a", "b", "c", " ", "▁").ListOf().Select(string.Concat).ToArbitrary(),
            text => loaded.Encode(text).SequenceEqual(tokenizer.Encode(text))).QuickCheckThrowOnFailure();
        Prop.ForAll(TokenizersSamples.AnyText, text => loaded.Encode(text).SequenceEqual(tokenizer.Encode(text)))
            .QuickCheckThrowOnFailure();
    }

    [TestCase(HuggingFace)]
    [TestCase(Llama2c)]
    public void TheSavedTokenizerOfARealModelGivesTheSameIds(string path)
    {
        using var folder = new TemporaryFolder();
        var tokenizer = TokenizerFile.Load(Repository.Shared(path));
        var loaded = TokenizersSamples.SavedAndLoaded(tokenizer, folder);
        foreach (var one in Json("data/oracle/tok512_encodings.json")["cases"]!.AsArray())
        {
            Assert.That(loaded.Encode((string)one!["text"]!), Is.EqualTo(tokenizer.Encode((string)one["text"]!)));
        }
    }

    /// <summary>llama2.c's are text, which its saved form says; Hugging Face's are tokens where nothing is said.</summary>
    [TestCase(false)]
    [TestCase(null)]
    public void SpecialTokensInTheTextAreWhatTheConfigurationSays(bool? split)
    {
        using var folder = new TemporaryFolder();
        TokenizersSamples.SmallByteFallback(folder).Save(folder.Path);
        Assert.That(TokenizerFile.Load(folder.Path).EncodeContinuation("</s>"), Has.Length.EqualTo(4));
        TokenizersSamples.Edit(folder.File("tokenizer_config.json"), root =>
        {
            root.Remove("split_special_tokens");
            if (split is { } said)
            {
                root["split_special_tokens"] = said;
            }
        });
        var tokenizer = TokenizerFile.Load(folder.Path);
        Assert.That(tokenizer.EncodeContinuation("</s>"), Is.EqualTo(new[] { 2 }));
        Assert.That(tokenizer.DecodeContinuation(tokenizer.EncodeContinuation("a</s>b")), Is.EqualTo("ab"));
    }

    [Test]
    public void AddedTokensThatAreNotSpecialAreAlwaysRecognised()
    {
        using var folder = new TemporaryFolder();
        var size = TokenizersSamples.SmallByteFallback(folder).VocabSize;
        TokenizerFile.Load(folder.File("small.bin")).Save(folder.Path);
        TokenizersSamples.Edit(folder.File("tokenizer.json"), root => root["added_tokens"]!.AsArray().Add(
            new JsonObject { ["id"] = size, ["content"] = "<|user|>", ["special"] = false }));
        var tokenizer = TokenizerFile.Load(folder.Path);
        Assert.That(tokenizer.VocabSize, Is.EqualTo(size + 1));
        Assert.That(tokenizer.EncodeContinuation("ab<|user|>ab"), Has.Length.EqualTo(3).And.ItemAt(1).EqualTo(size));
        Assert.That(tokenizer.DecodeContinuation(tokenizer.EncodeContinuation("ab<|user|>ab")), Is.EqualTo("ab<|user|>ab"));
    }

    /// <summary>Metaspace gives what the normalizers give, but puts no space before a space, and by "first" none behind an added token.</summary>
    [Test]
    public void MetaspacePutsASpaceWhereItsSchemeSays()
    {
        using var folder = new TemporaryFolder();
        var normalizing = WithMetaspace(folder, null);
        var always = WithMetaspace(folder, """{ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": false }""");
        var first = WithMetaspace(folder, """{ "type": "Metaspace", "replacement": "▁", "add_prefix_space": true, "prepend_scheme": "first", "split": false }""");
        var never = WithMetaspace(folder, """{ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": false }""");
        Prop.ForAll(TokenizersSamples.AnyText, text =>
        {
            var expected = text.StartsWith(' ') || text.StartsWith('▁') ? (int[])[1, .. normalizing.EncodeContinuation(text)] : normalizing.Encode(text);
            return always.Encode(text).SequenceEqual(expected) && first.Encode(text).SequenceEqual(expected)
                && never.Encode(text).SequenceEqual([1, .. normalizing.EncodeContinuation(text)])
                && always.EncodeContinuation(text).SequenceEqual(normalizing.EncodeContinuation(text))
                && (text.StartsWith(' ') || text.Contains('▁') || always.Decode(always.Encode(text)) == text)
                && (text.Contains('▁') || never.Decode(never.Encode(text)) == text);
        }).QuickCheckThrowOnFailure();
        Assert.That(Pieces(always, "ab<x>ab"), Is.EqualTo(["▁ab", "<x>", "▁ab"]));
        Assert.That(Pieces(first, "ab<x>ab"), Is.EqualTo(["▁ab", "<x>", "ab"]));
        Assert.That(Pieces(first, "<x>ab"), Is.EqualTo(["<x>", "ab"]));
        foreach (var tokenizer in (ITokenizer[])[normalizing, always, first, never])
        {
            using var saved = new TemporaryFolder();
            TokenizersSamples.SavedAndLoaded(tokenizer, saved);
        }
    }

    [Test]
    public void MetaspaceSplitsAtSpacesUnlessToldNotTo()
    {
        using var folder = new TemporaryFolder();
        var whole = WithMetaspace(folder, """{ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": false }""");
        var split = WithMetaspace(folder, """{ "type": "Metaspace", "replacement": "▁", "add_prefix_space": false }""");
        Assert.That(Pieces(whole, "c  ab"), Is.EqualTo(["c▁", "▁ab"]));
        Assert.That(Pieces(split, "c  ab"), Is.EqualTo(["c", "▁", "▁ab"]));
        Assert.That(Pieces(split, " ab"), Is.EqualTo(["▁ab"]));
        using var saved = new TemporaryFolder();
        Assert.That(Pieces(TokenizersSamples.SavedAndLoaded(split, saved), "c  ab"), Is.EqualTo(["c", "▁", "▁ab"]));
    }

    [TestCase("""{ "type": "Metaspace" }""", "pre_tokenizer: has no \"replacement\"")]
    [TestCase("""{ "type": "Metaspace", "replacement": "__" }""", "pre_tokenizer.replacement: is not one character")]
    [TestCase("""{ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "last" }""", "pre_tokenizer.prepend_scheme: \"last\" is not supported")]
    [TestCase("""{ "type": "Whitespace" }""", "pre_tokenizer: is not one Metaspace")]
    public void AnotherPreTokenizerIsRefused(string step, string message)
    {
        using var folder = new TemporaryFolder();
        Assert.That(() => WithMetaspace(folder, step), Throws.TypeOf<InputException>().With.Message.Contains(message));
        WithMetaspace(folder, null);
        TokenizersSamples.Edit(folder.File("tokenizer.json"), root => root["pre_tokenizer"] = JsonNode.Parse("""{ "type": "Metaspace", "replacement": "▁" }"""));
        Assert.That(() => TokenizerFile.Load(folder.Path), Throws.TypeOf<InputException>().With.Message.Contains("before a Metaspace is not supported"));
    }

    /// <summary>A tokenizer.json whose pieces have ▁ for a space, with that pre-tokenizer in place of the normalizers, or with these.</summary>
    private static ITokenizer WithMetaspace(TemporaryFolder folder, string? preTokenizer)
    {
        File.WriteAllBytes(folder.File("spaces.bin"), TokenizersSamples.TokBin(
            ("a", -9), ("b", -9), ("c", -9), (" ", -9), ("ab", -1), ("bc", -1), (" a", -2), (" ab", -3), ("c ", -4), ("é", -9)));
        var model = ((ByteFallbackTokenizer)TokenizerFile.Load(folder.File("spaces.bin"))).Model;
        string[] pieces = [.. model.Pieces.Select(static p => p!.Replace(' ', '▁')), "<x>"];
        AddedToken[] added = [.. model.AddedTokens, new AddedToken(pieces.Length - 1, "<x>", Special: false)];
        new ByteFallbackTokenizer(model with { Pieces = pieces, AddedTokens = added }, '▁', SpacePrefix.Always).Save(folder.Path);
        if (preTokenizer is not null)
        {
            TokenizersSamples.Edit(folder.File("tokenizer.json"), root =>
            {
                root["normalizer"] = null;
                root["pre_tokenizer"] = JsonNode.Parse(preTokenizer);
            });
        }
        return TokenizerFile.Load(folder.Path);
    }

    private static IEnumerable<string?> Pieces(ITokenizer tokenizer, string text) =>
        tokenizer.Encode(text).Skip(1).Select(id => ((ByteFallbackTokenizer)tokenizer).Model.Pieces[id]);

    [Test]
    public void HalfACharacterDecodesToTheReplacementCharacter()
    {
        using var folder = new TemporaryFolder();
        var tokenizer = TokenizersSamples.SmallByteFallback(folder);
        var ids = tokenizer.EncodeContinuation("日");
        Assert.That(tokenizer.DecodeContinuation(ids[..2]), Is.EqualTo("\uFFFD"));
        Assert.That(tokenizer.EncodeContinuation("\uD83D"), Is.EqualTo(tokenizer.EncodeContinuation("\uFFFD")));
    }

    private static JsonNode Json(string path) => JsonNode.Parse(File.ReadAllText(Repository.Shared(path)))!;

    private static int[] Ids(JsonNode? list) => [.. list!.AsArray().Select(id => (int)id!)];
}
