using System.Text.Json.Nodes;
using TinyDpo.Models;

namespace TinyDpo.Tests;

public class TokenizersFileTests
{
    private TemporaryFolder folder = null!;

    [SetUp]
    public void SetUp() => folder = new TemporaryFolder();

    [TearDown]
    public void TearDown() => folder.Dispose();

    [Test]
    public void AFolderAndTheFileInItAreTheSameTokenizer()
    {
        var tokenizer = TokenizersSamples.SavedAndLoaded(TokenizersSamples.Trained(), folder);
        Assert.That(TokenizerFile.Load(folder.File("tokenizer.json")).Fingerprint, Is.EqualTo(tokenizer.Fingerprint));
    }

    [Test]
    public void TheKindIsRecognisedByContent()
    {
        TokenizersSamples.Trained().Save(folder.Path);
        File.Move(folder.File("tokenizer.json"), folder.File("renamed"));
        Assert.That(TokenizerFile.Load(folder.File("renamed")), Is.TypeOf<ByteLevelTokenizer>());
        // Its first number, the length of the longest piece, is the code of '{'.
        File.WriteAllBytes(folder.File("tok"), TokenizersSamples.TokBin((new string('a', '{'), 0)));
        Assert.That(TokenizerFile.Load(folder.File("tok")), Is.TypeOf<ByteFallbackTokenizer>());
    }

    [Test]
    public void TheEndIsTheTokenizersOwnElseTheModels()
    {
        TokenizersSamples.Trained("<|endoftext|>", "<pad>", "<end>").Save(folder.Path);
        File.WriteAllText(folder.File("config.json"), """{ "eos_token_id": [2, 1] }""");
        Assert.That(TokenizerFile.Load(folder.Path).EosId, Is.Zero);
        TokenizersSamples.Edit(folder.File("tokenizer_config.json"), root => root.Remove("eos_token"));
        Assert.That(TokenizerFile.Load(folder.Path).EosId, Is.EqualTo(2));
        File.Delete(folder.File("config.json"));
        Assert.That(TokenizerFile.Load(folder.Path).EosId, Is.Zero);
    }

    [Test]
    public void WhatGpt2sOwnFileWritesForNothingIsAccepted()
    {
        var tokenizer = TokenizersSamples.Trained();
        tokenizer.Save(folder.Path);
        File.Delete(folder.File("tokenizer_config.json"));
        TokenizersSamples.Edit(folder.File("tokenizer.json"), root =>
        {
            var model = root["model"]!.AsObject();
            model.Remove("type");
            model.Remove("ignore_merges");
            model["unk_token"] = "";
            model["continuing_subword_prefix"] = "";
            model["end_of_word_suffix"] = "";
            root["post_processor"] = JsonNode.Parse("""{ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false }""");
        });
        Assert.That(TokenizerFile.Load(folder.Path).Fingerprint, Is.EqualTo(tokenizer.Fingerprint));
    }

    [Test]
    public void ATokenizerLargerThanTheModelIsRefused()
    {
        var tokenizer = TokenizersSamples.Trained();
        Assert.That(() => TokenizerFile.CheckVocabulary(tokenizer, tokenizer.VocabSize, "a"), Throws.Nothing);
        Assert.That(() => TokenizerFile.CheckVocabulary(tokenizer, tokenizer.VocabSize - 1, "a/tokenizer.json"),
            Throws.TypeOf<InputException>().With.Message.StartsWith("a/tokenizer.json: the tokenizer has 294 ids, but the model only 293"));
    }

    [TestCase("nowhere")]
    [TestCase("nowhere/tokenizer.json")]
    [TestCase("")]
    public void AnAbsentFileIsNamed(string path) => AssertRefused(folder.File(path), "there is no such file");

    [Test]
    public void AnUnknownKindIsRefused()
    {
        File.WriteAllText(folder.File("notes.txt"), "hello");
        AssertRefused(folder.File("notes.txt"), "no tokenizer of a known kind");
        File.WriteAllText(folder.File("tokenizer.json"), "{}");
        AssertRefused(folder.Path, "has no \"model\"");
        File.WriteAllText(folder.File("tokenizer.json"), "[]");
        AssertRefused(folder.Path, "is not an object");
        File.WriteAllText(folder.File("tokenizer.json"), """{ "model": { "type": "Unigram" } }""");
        AssertRefused(folder.Path, "model.type: \"Unigram\" is not supported");
    }

    [Test]
    public void TornJsonIsReportedWithItsLine()
    {
        TokenizersSamples.Trained().Save(folder.Path);
        var lines = File.ReadAllLines(folder.File("tokenizer.json"));
        File.WriteAllText(folder.File("tokenizer.json"), string.Join('\n', lines[..60]));
        AssertRefused(folder.Path, "tokenizer.json, line 60: is not valid JSON");
        File.WriteAllBytes(folder.File("tokenizer.json"), [(byte)'{', (byte)'"', 0xFF, (byte)'"', (byte)'}']);
        AssertRefused(folder.Path, "is not valid UTF-8");
    }

    [TestCaseSource(nameof(BadByteLevelFiles))]
    public void ABadTokenizerJsonIsRefused(Action<JsonObject> change, string problem)
    {
        TokenizersSamples.Trained().Save(folder.Path);
        TokenizersSamples.Edit(folder.File("tokenizer.json"), change);
        AssertRefused(folder.Path, problem);
    }

    private static IEnumerable<TestCaseData> BadByteLevelFiles()
    {
        TestCaseData Row(string name, string problem, Action<JsonObject> change) =>
            new TestCaseData(change, problem).SetArgDisplayNames(name);
        yield return Row("id twice", "model.vocab.b: id 66 of the piece \"b\" is also that of \"a\"",
            root => Vocab(root)["b"] = (int)Vocab(root)["a"]!);
        yield return Row("negative id", "id -1 is outside", root => Vocab(root)["a"] = -1);
        yield return Row("huge id", "id 2000000000 is outside", root => Vocab(root)["a"] = 2000000000);
        yield return Row("id no integer", "model.vocab.a: is no integer", root => Vocab(root)["a"] = 1.5);
        yield return Row("vocabulary a list", "model.vocab: is not an object", root => root["model"]!["vocab"] = new JsonArray());
        yield return Row("missing byte", "lacks the byte 0x07", root => Vocab(root).Remove(ByteAlphabet.Characters[7].ToString()));
        yield return Row("no merges", "has no \"merges\"", root => root["model"]!.AsObject().Remove("merges"));
        yield return Row("unknown piece", "model.merges[0]: the merge of \"q\" and \"zz\" needs the piece \"zz\"",
            root => Merges(root)[0] = "q zz");
        yield return Row("unknown result", "needs the piece \"qz\"", root => Merges(root)[0] = new JsonArray("q", "z"));
        yield return Row("one piece", "is not two pieces", root => Merges(root)[0] = "q");
        yield return Row("three pieces", "is not a pair", root => Merges(root)[0] = new JsonArray("q", "z", "q"));
        yield return Row("merge twice", "model.merges[1]: the merge of", root => Merges(root)[1] = Merges(root)[0]!.DeepClone());
        yield return Row("added token moved", "the piece \"<pad>\" has the ids 1 and 9999", root => root["added_tokens"]![1]!["id"] = 9999);
        yield return Row("added token empty", "added_tokens[1].content: is empty", root => root["added_tokens"]![1]!["content"] = "");
        yield return Row("single word", "single_word: is set to something that is not supported",
            root => root["added_tokens"]![1]!["single_word"] = true);
        yield return Row("dropout", "model.dropout", root => root["model"]!["dropout"] = 0.1);
        yield return Row("normalizer", "normalizer", root => root["normalizer"] = JsonNode.Parse("""{ "type": "NFKC" }"""));
        yield return Row("prefix space", "pre_tokenizer.add_prefix_space", root => root["pre_tokenizer"]!["add_prefix_space"] = true);
        yield return Row("other words", "neither byte-level",
            root => root["pre_tokenizer"] = JsonNode.Parse("""{ "type": "Whitespace" }"""));
        yield return Row("post-processor", "post_processor",
            root => root["post_processor"] = JsonNode.Parse("""{ "type": "BertProcessing" }"""));
        yield return Row("template", "more than at most one token", root => root["post_processor"] = JsonNode.Parse(
            """{ "type": "TemplateProcessing", "single": [{ "Sequence": { "id": "A" } }, { "SpecialToken": { "id": "<pad>" } }] }"""));
    }

    /// <summary>Found by the fuzz harness: the search for a key stumbled over another's escape.</summary>
    [Test]
    public void AKeyWithHalfASurrogatePairIsRefused()
    {
        TokenizersSamples.Trained().Save(folder.Path);
        var file = folder.File("tokenizer.json");
        var text = File.ReadAllText(file);
        // Behind every key that is searched for, and so met by each search for one that is absent.
        File.WriteAllText(folder.File("t.json"), text[..(text.LastIndexOf('}') - 1)] + ", \"pre_token\\ud800\": 1 }");
        Assert.That(() => TokenizerFile.Load(folder.File("t.json")), Throws.TypeOf<InputException>().With.Message.Contains("surrogate"));
    }

    [TestCase("\"a\": 9999", "the piece \"a\" has the ids 9999 and 66")]
    [TestCase("\"\\ud800\": 9999", "holds half a surrogate pair")]
    public void APieceThatNoDictionaryCouldHoldIsRefused(string entry, string problem)
    {
        TokenizersSamples.Trained().Save(folder.Path);
        var file = folder.File("tokenizer.json");
        File.WriteAllText(file, File.ReadAllText(file).Replace("\"vocab\": {", $"\"vocab\": {{ {entry},"));
        AssertRefused(folder.Path, problem);
    }

    [TestCaseSource(nameof(BadConfigurations))]
    public void ABadConfigurationIsRefused(string file, string json, string problem)
    {
        TokenizersSamples.Trained().Save(folder.Path);
        File.WriteAllText(folder.File(file), json);
        AssertRefused(folder.Path, problem);
    }

    private static IEnumerable<string[]> BadConfigurations() =>
    [
        ["tokenizer_config.json", """{ "eos_token": "<nowhere>" }""",
            "tokenizer_config.json, eos_token: names \"<nowhere>\", which the vocabulary lacks"],
        ["tokenizer_config.json", """{ "eos_token": "two\nlines" }""", "names \"two?lines\", which the vocabulary lacks"],
        ["tokenizer_config.json", """{ "eos_token": 7 }""", "eos_token: is not an object"],
        ["tokenizer_config.json", """{ "add_bos_token": true }""", "no bos_token is named"],
        ["tokenizer_config.json", """{ "add_bos_token": "yes" }""", "add_bos_token: is neither true nor false"],
        ["tokenizer_config.json", """{ "add_eos_token": true }""", "set add_eos_token to false"],
        ["tokenizer_config.json", """{ "merge_ranks": [0] }""", "but 1 merge_ranks in"],
        ["tokenizer_config.json", """{ "add_bos_token": """, "tokenizer_config.json, line 1: is not valid JSON"],
    ];

    [Test]
    public void AnEndThatTheTokenizerLacksOrNothingNamesIsRefused()
    {
        TokenizersSamples.Trained("<end>").Save(folder.Path);
        File.Delete(folder.File("tokenizer_config.json"));
        AssertRefused(folder.Path, "nothing says which token ends a sequence");
        File.WriteAllText(folder.File("config.json"), """{ "eos_token_id": 5000 }""");
        AssertRefused(folder.Path, "config.json, eos_token_id: the tokenizer has no id 5000");
    }

    [Test]
    public void ByteFallbackWithWhatWeDoNotHaveIsRefused()
    {
        TokenizersSamples.SmallByteFallback(folder).Save(folder.Path);
        var file = folder.File("tokenizer.json");
        var good = File.ReadAllText(file);
        void AssertRefusedWith(string problem, Action<JsonObject> change)
        {
            File.WriteAllText(file, good);
            TokenizersSamples.Edit(file, change);
            AssertRefused(folder.Path, problem);
        }
        AssertRefusedWith("lacks the byte piece <0x07>", root => Vocab(root).Remove("<0x07>"));
        AssertRefusedWith("pre_tokenizer", root => root["pre_tokenizer"] = JsonNode.Parse("""{ "type": "Whitespace" }"""));
        AssertRefusedWith("a normalizer NFKC", root => root["normalizer"] = JsonNode.Parse("""{ "type": "NFKC" }"""));
        AssertRefusedWith("a space does not become one character",
            root => root["normalizer"] = JsonNode.Parse("""{ "type": "Prepend", "prepend": "\u2581" }"""));
    }

    [Test]
    public void ATruncatedTokBinIsRefusedWhereverItIsCut()
    {
        var content = TokenizersSamples.TokBin(("ab", 1));
        // Cut between two pieces it has too few of them, elsewhere a piece is torn. The last piece alone could be absent.
        var whole = content.Length - 10;
        for (var length = 0; length < content.Length; length += length < 30 || length > whole - 30 ? 1 : 61)
        {
            if (length != whole)
            {
                File.WriteAllBytes(folder.File("tok.bin"), content[..length]);
                Assert.That(() => TokenizerFile.Load(folder.File("tok.bin")),
                    Throws.TypeOf<InputException>().With.Message.Contains("file ends here").Or.Message.Contains("fewer than"),
                    $"cut at {length}");
            }
        }
    }

    [Test]
    public void ADamagedTokBinIsRefusedWithThePiece()
    {
        void AssertRefusedWith(string problem, params (string, float)[] pieces)
        {
            File.WriteAllBytes(folder.File("tok.bin"), TokenizersSamples.TokBin(pieces));
            AssertRefused(folder.File("tok.bin"), problem);
        }
        AssertRefusedWith("piece 260: the piece \"ab\" has the ids 259 and 260", ("ab", 1), ("ab", 2));
        AssertRefusedWith("piece 259: has a score that is no finite number", ("ab", float.NaN));
        var content = TokenizersSamples.TokBin();
        foreach (var length in new[] { -1, 7, int.MaxValue, int.MinValue })
        {
            BitConverter.GetBytes(length).CopyTo(content, 8);
            File.WriteAllBytes(folder.File("tok.bin"), content);
            AssertRefused(folder.File("tok.bin"), $"piece 0: has length {length}, outside [0, 6]");
        }
        BitConverter.GetBytes(5).CopyTo(content, 8);
        content[12] = 0xFF;
        File.WriteAllBytes(folder.File("tok.bin"), content);
        AssertRefused(folder.File("tok.bin"), "piece 0: is not valid UTF-8");
        File.WriteAllBytes(folder.File("tok.bin"), TokenizersSamples.RawTokBin([.. Enumerable.Range(0, 300).Select(i => ($"p{i}", 0f))]));
        AssertRefused(folder.File("tok.bin"), "lacks the byte piece <0x00>");
    }

    [Test]
    public void BadMergesTxtIsReportedWithItsLine()
    {
        File.WriteAllText(folder.File("vocab.json"), """{ "a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3 }""");
        AssertRefused(folder.Path, "merges.txt: there is no such file");
        File.WriteAllText(folder.File("merges.txt"), "#version: 0.2\na b\nb c\n");
        AssertRefused(folder.Path, "merges.txt, line 3: the merge of \"b\" and \"c\" needs the piece \"c\"");
        File.WriteAllText(folder.File("merges.txt"), "#version: 0.2\r\na b\r\nb\r\n");
        AssertRefused(folder.Path, "merges.txt, line 3: the merge \"b\" is not two pieces");
    }

    /// <summary>What tokenizer_config.json says of the words is not passed over.</summary>
    [Test]
    public void WordsThatTheConfigurationCutsOtherwiseAreRefused()
    {
        File.WriteAllText(folder.File("vocab.json"), """{ "a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3 }""");
        File.WriteAllText(folder.File("merges.txt"), "a b\n");
        File.WriteAllText(folder.File("tokenizer_config.json"), """{ "tokenizer_class": "GPT2Tokenizer", "add_prefix_space": false, "unk_token": "<|endoftext|>" }""");
        Assert.That(TokenizerFile.Load(folder.Path).Encode("ab"), Is.EqualTo(new[] { 2 }));
        File.WriteAllText(folder.File("tokenizer_config.json"), """{ "tokenizer_class": "Qwen2Tokenizer" }""");
        AssertRefused(folder.Path, "tokenizer_config.json, tokenizer_class: Qwen2Tokenizer may cut words otherwise");
        File.WriteAllText(folder.File("tokenizer_config.json"), """{ "add_prefix_space": true }""");
        AssertRefused(folder.Path, "tokenizer_config.json, add_prefix_space: is set to something that is not supported");
        TokenizersSamples.Trained().Save(folder.Path);
        TokenizersSamples.Edit(folder.File("tokenizer_config.json"), root => root["add_prefix_space"] = true);
        AssertRefused(folder.Path, "tokenizer_config.json, add_prefix_space: is set to something that is not supported");
    }

    private static JsonObject Vocab(JsonObject root) => root["model"]!["vocab"]!.AsObject();

    private static JsonArray Merges(JsonObject root) => root["model"]!["merges"]!.AsArray();

    private static void AssertRefused(string path, string problem) =>
        Assert.That(() => TokenizerFile.Load(path), Throws.TypeOf<InputException>().With.Message.Contains(problem));
}
