using System.IO.Compression;
using System.Text;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;
#if !DOUBLE
using TinyDpo.Simulator;
#endif

namespace TinyDpo.Tests;

/// <summary>
/// Every parser fed with mutated files from a fixed seed: it reads them or throws its own exception in one line, within bounded memory and
/// processor time, and nothing else. A few hundred files a parser every day, 20,000 among the long tests.
/// </summary>
public class FuzzTests
{
    private const ulong Seed = 20261124;
    private const long MostBytes = 200_000_000;

    // Of the thread's own processor time, which other programs do not lengthen.
    private static readonly TimeSpan s_mostTime = TimeSpan.FromSeconds(1);

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

    public static string[] Parsers { get; } =
    [
        "safetensors", "shards", "config", "gpt2 config", "tokenizer.json", "byte fallback", "vocab.json", "merges.txt", "tok.bin", "llama2.c", "jsonl", "json list",
        "gzip", "rows in gzip", "tokenizer_config.json", "chat template", "conversations", "adapter", "adapter weights", "checkpoint state", "checkpoint weights",
        "optimizer state", "checksums", "workload", "ptx",
    ];

    [Test]
    public void ParsersReadOrRefuse([ValueSource(nameof(Parsers))] string parser) => Fuzz(parser, 300);

    [Test]
    [Category("Long")]
    public void ParsersReadOrRefuse20000([ValueSource(nameof(Parsers))] string parser) => Fuzz(parser, 20_000);

#if !DOUBLE
    /// <summary>Found by the above: quoted text without its end brought the rest of the file into the message.</summary>
    [Test]
    public void AQuotationWithoutItsEndIsOneLineInTheMessage() =>
        Assert.That(
            () => PtxParser.Parse(".version 6.0\n\"a\n.target sm_60\n"),
            Throws.TypeOf<SimulationException>().With.Message.Contains("'\"a...' is not known outside of an entry").And.Message.Not.Contains("\n"));
#endif

    private void Fuzz(string parser, int count)
    {
        var (name, good, read) = Subject(parser);
        var path = _folder.File(name);
        File.WriteAllBytes(path, good);
        Assert.That(() => read(path), Throws.Nothing, "the file that the others are made from");
        var refused = 0;
        for (var number = 0; number < count; number++)
        {
            File.WriteAllBytes(path, Mutation.Of(good, Seed, number));
            var (before, start) = (GC.GetAllocatedBytesForCurrentThread(), ThreadClock.ProcessorTime());
            try
            {
                read(path);
            }
            catch (Exception e) when (IsTyped(e))
            {
                refused++;
                Assert.That(e.Message, Does.Not.Contain("\n"), $"file {number}: one line");
            }
            catch (Exception e) when (e is not AssertionException)
            {
                Assert.Fail($"{parser}, file {number}: {e}");
            }
            Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(MostBytes), $"file {number}: bytes allocated");
            Assert.That(ThreadClock.ProcessorTime() - start, Is.LessThan(s_mostTime), $"file {number}: processor time");
        }
        Assert.That(refused, Is.GreaterThan(count / 10), "the changes reach what the parser looks at");
    }

    private static bool IsTyped(Exception e) => e is InputException
#if !DOUBLE
        or SimulationException
#endif
        ;

    // A file's name, its good bytes, and what reads it.
    private (string Name, byte[] Good, Action<string> Read) Subject(string parser)
    {
        switch (parser)
        {
            case "safetensors":
                ModelFile.SaveWeights(_folder.File("w"), TinyModels.Create(_backend));
                return ("x.safetensors", File.ReadAllBytes(_folder.File("w"))[..], ReadTensors);
            case "shards":
                ModelFile.SaveWeights(_folder.File("a.safetensors"), TinyModels.Create(_backend));
                return (SafetensorsShards.IndexName,
                    Encoding.UTF8.GetBytes($$"""{"weight_map": { {{string.Join(", ", TinyModels.Create(_backend).Parameters().Select(static p => $"\"{p.Name}\": \"a.safetensors\""))}} } }"""),
                    _ => SafetensorsShards.OpenFolder(_folder.Path).Dispose());
            case "config":
                (TinyModels.Config() with { RopeScaling = new Llama3RopeScaling(8, 1, 4, 32) }).Save(_folder.File("c"));
                return ("config.json", File.ReadAllBytes(_folder.File("c")), static path => ModelConfig.FromJson(path));
            case "gpt2 config":
                TinyModels.Architectures().First(static a => a.Name == "gpt2").Config.Save(_folder.File("c"));
                return ("config.json", File.ReadAllBytes(_folder.File("c")), static path => ModelConfig.FromJson(path));
            case "tokenizer.json":
                TokenizersSamples.Trained().Save(_folder.Path);
                return ("tokenizer.json", File.ReadAllBytes(_folder.File("tokenizer.json")), ReadTokenizer);
            case "byte fallback":
                TokenizersSamples.SmallByteFallback(_folder).Save(_folder.File("t"));
                return ("tokenizer.json", File.ReadAllBytes(_folder.File("t/tokenizer.json")), ReadTokenizer);
            case "vocab.json":
                File.WriteAllText(_folder.File("merges.txt"), "#version: 0.2\nl o\nlo w\n");
                return ("vocab.json", Vocabulary(), _ => ReadTokenizer(_folder.Path));
            case "merges.txt":
                File.WriteAllBytes(_folder.File("vocab.json"), Vocabulary());
                return ("merges.txt", "#version: 0.2\nl o\nlo w\n"u8.ToArray(), _ => ReadTokenizer(_folder.Path));
            case "tok.bin":
                return ("tok.bin", TokenizersSamples.TokBin(("a", -9), ("b", -9), ("ab", -1), (" ", -9)), ReadTokenizer);
            case "llama2.c":
                return ("model.bin", Llama2c(), static path => Llama2cFile.Read(path));
            case "jsonl":
                return ("x.jsonl", Encoding.UTF8.GetBytes(Rows("\n")), ReadPairs);
            case "json list":
                return ("x.json", Encoding.UTF8.GetBytes($"[{Rows(",\n")}]"), ReadPairs);
            case "gzip":
                return ("x.gz", Packed(Encoding.UTF8.GetBytes(Rows("\n"))), ReadPairs);
            case "rows in gzip":
                return ("x.jsonl", Encoding.UTF8.GetBytes(Rows("\n")), ReadPackedPairs);
            case "tokenizer_config.json":
                TokenizersSamples.Trained().Save(_folder.Path);
                return ("tokenizer_config.json", Encoding.UTF8.GetBytes(TokenizerConfiguration), _ => ReadTokenizer(_folder.Path));
            case "chat template":
                TokenizersSamples.Trained().Save(_folder.Path);
                File.WriteAllText(_folder.File("x.jsonl"), Conversation);
                return ("chat_template.jinja", Encoding.UTF8.GetBytes(ChatTemplates.Qwen25), _ => ReadData.Pairs(_folder.File("x.jsonl"), TokenizerFile.Load(_folder.Path)));
            case "conversations":
                return ("x.jsonl", Encoding.UTF8.GetBytes(Conversation), ReadPairs);
            case "adapter":
                return Adapter("adapter_config.json");
            case "adapter weights":
                return Adapter("adapter_model.safetensors");
            case "workload":
                return ("workload.json", Encoding.UTF8.GetBytes(TinyWorkload.Json), static path => Workload.Read(path));
            case "ptx":
                return Ptx();
            case "checkpoint state":
                return Checkpoint("trainer_state.json");
            case "checkpoint weights":
                return Checkpoint("model.safetensors");
            case "optimizer state":
                return Checkpoint("optimizer.safetensors");
            case "checksums":
                var (name, good, _) = Checkpoint(Checksums.Name);
                return (name, good, _ => Checksums.Verify(_folder.File("checkpoint-7")));
            default:
                throw new ArgumentOutOfRangeException(nameof(parser), parser, "no such parser");
        }
    }

    private (string Name, byte[] Good, Action<string> Read) Adapter(string file)
    {
        var tokenizer = TokenizersSamples.Trained();
        ModelFile.Save(_folder.File("base"), TinyModels.Create(_backend, TinyModels.Config(vocabulary: tokenizer.VocabSize)), tokenizer);
        var model = ModelFile.LoadWeights(_folder.File("base"), _backend);
        LoraAdapters.Attach(model, new LoraOptions { Rank = 1, Alpha = 2 }, seed: 1);
        ModelFile.Save(_folder.File("adapter"), model, tokenizer);
        var name = $"adapter/{file}";
        return (name, File.ReadAllBytes(_folder.File(name)), Read);

        void Read(string path)
        {
            var loaded = ModelFile.LoadWeights(_folder.File("adapter"), _backend);
            loaded.MergeAdapters();
            loaded.Weights.Free();
        }
    }

    // With new checksums, as if the damage had come before them: what remains must be found by the parsers.
    private (string Name, byte[] Good, Action<string> Read) Checkpoint(string name)
    {
        var model = TinyModels.Create(_backend);
        var optimiser = new AdamW(model.Weights) { Steps = 7 };
        var checkpoints = new CheckpointFolder(_folder.Path, "key");
        checkpoints.Save(model, optimiser);
        return ($"checkpoint-7/{name}", File.ReadAllBytes(_folder.File($"checkpoint-7/{name}")), Read);

        void Read(string path)
        {
            Checksums.Write(_folder.File("checkpoint-7"));
            checkpoints.TryLoadNewest(model, optimiser);
        }
    }

    private static (string Name, byte[] Good, Action<string> Read) Ptx()
    {
#if DOUBLE
        Assert.Ignore("the simulator is not in the double build");
        return default;
#else
        // One whole kernel, so that 20,000 of them are read in minutes.
        var text = File.ReadAllText(Path.Combine(Repository.Root, "kernels.ptx"));
        var end = text.IndexOf("\n}\n", text.IndexOf(".entry", StringComparison.Ordinal), StringComparison.Ordinal);
        return ("k.ptx", Encoding.UTF8.GetBytes(text[..(end + 3)]), static path => PtxParser.Parse(File.ReadAllText(path)));
#endif
    }

    private static void ReadTensors(string path)
    {
        using var file = SafetensorsFile.Open(path);
        foreach (var name in file.Names)
        {
            file.Read(name, new Real[file.Shape(name).Aggregate(1, static (a, b) => a * b)]);
        }
    }

    private static void ReadTokenizer(string path)
    {
        var tokenizer = TokenizerFile.Load(path);
        tokenizer.Decode(tokenizer.Encode("low lower <s> é\U0001F600"));
    }

    private void ReadPackedPairs(string path)
    {
        File.WriteAllBytes(_folder.File("x.gz"), Packed(File.ReadAllBytes(path)));
        ReadPairs(_folder.File("x.gz"));
    }

    private static void ReadPairs(string path) => ReadData.Pairs(path, new ByteTokenizer());

    private static byte[] Vocabulary() => Encoding.UTF8.GetBytes(
        $$"""{ {{string.Join(", ", ByteAlphabet.Characters.Select(static (c, i) => $"{System.Text.Json.JsonSerializer.Serialize(c.ToString())}: {i}"))}}, "lo": 256, "low": 257, "<|endoftext|>": 258 }""");

    private const string TokenizerConfiguration = """
        {"tokenizer_class": "GPT2Tokenizer", "bos_token": {"content": "<|endoftext|>", "special": true}, "eos_token": "<|endoftext|>", "pad_token": "<pad>",
         "unk_token": null, "add_bos_token": true, "add_eos_token": false, "split_special_tokens": false, "model_max_length": 512,
         "added_tokens_decoder": {"298": {"content": "<|endoftext|>", "special": true}},
         "chat_template": [{"name": "default", "template": "{{'<|im_start|>'}}"}, {"name": "tools", "template": "{}"}]}
        """;

    private const string Conversation =
        """{"chosen": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], "rejected": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "z"}]}""";

    private static byte[] Packed(byte[] bytes)
    {
        using var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.Fastest))
        {
            gzip.Write(bytes);
        }
        return packed.ToArray();
    }

    private static string Rows(string separator) => string.Join(separator,
    [
        """{"prompt": "a", "chosen": "b\u00e9", "rejected": "c"}""",
        """{"chosen": "\n\nHuman: x\n\nAssistant: y", "rejected": "\n\nHuman: x\n\nAssistant: z"}""",
        """{"conversations": [{"from": "human", "value": "q"}], "chosen": {"from": "gpt", "value": "r"}, "rejected": {"from": "gpt", "value": "s"}}""",
        """{"prompt_ids": [1, 2], "chosen_ids": [3], "rejected_ids": [4, 5]}""",
        """{"prompt": [{"role": "user", "content": "q"}], "chosen": [{"role": "assistant", "content": "r"}], "rejected": [{"role": "assistant", "content": "s"}]}""",
    ]);

    private static byte[] Llama2c()
    {
        // dim 4, hidden 6, 1 layer, 2 heads, 1 key/value head, 8 ids, 4 positions.
        int[] header = [4, 6, 1, 2, 1, 8, 4];
        const int numbers = (8 * 4) + 4 + (4 * 4) + (2 * 4 * 2) + (4 * 4) + 4 + (3 * 4 * 6) + 4 + (4 * 2);
        return [.. header.SelectMany(BitConverter.GetBytes), .. new byte[numbers * sizeof(float)]];
    }
}
