using System.Text.Json.Nodes;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>Configurations that claim more than there is, or than can be: refused before memory is taken for it.</summary>
public class ClaimedSizeTests
{
    private TemporaryFolder _folder = null!;
    private CpuBackend _backend = null!;

    [SetUp]
    public void Open()
    {
        (_folder, _backend) = (new TemporaryFolder(), new CpuBackend(1));
        TinyModelFolder.Save(_folder.File("model"));
    }

    [TearDown]
    public void Close()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    [TestCase("vocab_size", 5_000_000, "model.embed_tokens.weight")]
    [TestCase("num_hidden_layers", 4000, "model.layers.1.self_attn.q_proj.weight")]
    [TestCase("intermediate_size", 1 << 20, "mlp.gate_proj.weight")]
    public void AModelLargerThanItsWeightsTakesNoMemory(string key, int value, string tensor)
    {
        Claim("model/config.json", (key, value));
        AssertRefusedWithoutMemory(() => ModelFile.LoadWeights(_folder.File("model"), _backend), tensor);
    }

    /// <summary>No weight says how many positions a rotary model has.</summary>
    [Test]
    public void PositionsThatNoSequenceReachesTakeNoMemory()
    {
        Claim("model/config.json", ("max_position_embeddings", 1 << 24));
        var managed = GC.GetAllocatedBytesForCurrentThread();
        var (model, tokenizer) = ModelFile.Load(_folder.File("model"), _backend);
        Generator.Sample(model, [tokenizer.Encode("the film")], new GenerationOptions { MaxTokens = 4 });
        Assert.That(model.Config.MaxPositions, Is.EqualTo(1 << 24));
        Assert.That(_backend.Memory.Bytes, Is.LessThan(10_000_000));
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - managed, Is.LessThan(50_000_000));
    }

    [Test]
    public void AnAdapterOfALargerRankThanItsWeightsTakesNoMemory()
    {
        var (model, tokenizer) = ModelFile.Load(_folder.File("model"), _backend);
        LoraAdapters.Attach(model, new LoraOptions { Rank = 1, Alpha = 2 }, seed: 1);
        ModelFile.Save(_folder.File("adapter"), model, tokenizer);
        Claim("adapter/adapter_config.json", ("r", 1 << 16));
        var whole = ModelFile.LoadWeights(_folder.File("model"), _backend);
        AssertRefusedWithoutMemory(() => LoraFile.Attach(whole, _folder.File("adapter")), "lora_A.weight");
    }

    [Test]
    public void AnAdapterBeyondABufferIsRefused()
    {
        var model = ModelFile.LoadWeights(_folder.File("model"), _backend);
        AssertRefusedWithoutMemory(() => LoraAdapters.Attach(model, new LoraOptions { Rank = int.MaxValue / 16, Alpha = 1 }, seed: 1), "--lora-rank");
    }

    /// <summary>That of Llama 3 8B.</summary>
    [TestCase]
    [TestCase("--dry-run")]
    public void AModelOfMoreParametersThanABufferHoldsIsRefused(params string[] more)
    {
        Claim(
            "model/config.json", ("vocab_size", 128_256), ("hidden_size", 4096), ("num_hidden_layers", 32), ("num_attention_heads", 32),
            ("num_key_value_heads", 8), ("head_dim", 128), ("intermediate_size", 14_336));
        File.WriteAllText(_folder.File("pairs.jsonl"), """{"prompt": "a", "chosen": "b", "rejected": "c"}""");
        CommandLineRun.Of(["dpo", "--model", _folder.File("model"), "--data", _folder.File("pairs.jsonl"), "--out", _folder.File("out"), .. more])
            .AssertFails(TinyDpo.Cli.CommandLine.Failure, "config.json", "7504924672 parameters", "2147483591", "a smaller model");
    }

    private void AssertRefusedWithoutMemory(Action load, string part)
    {
        var (device, managed) = (_backend.Memory.Bytes, GC.GetAllocatedBytesForCurrentThread());
        Assert.That(() => load(), Throws.TypeOf<InputException>().With.Message.Contains(part));
        Assert.That(_backend.Memory.Bytes, Is.EqualTo(device));
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - managed, Is.LessThan(5_000_0000));
    }

    private void Claim(string file, params (string Key, int Value)[] changes)
    {
        var json = JsonNode.Parse(File.ReadAllText(_folder.File(file)))!;
        foreach (var (key, value) in changes)
        {
            json[key] = value;
        }
        File.WriteAllText(_folder.File(file), json.ToJsonString());
    }
}
