using System.Text.Json;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>Models cut into files of a greatest size, as Hugging Face's save_pretrained cuts them.</summary>
public class ShardedWriterTests
{
    private static readonly ByteLevelTokenizer s_tokenizer = BytePairTrainer.Train("a small text", 258, ["<|endoftext|>"]);

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

    /// <summary>Which tensors share a file, and what the index holds, to the byte as huggingface_hub writes it.</summary>
    [Test]
    public void TensorsFillFilesInTheirOrderAndALargeOneHasItsOwn()
    {
        Write(maxShardBytes: 40, ("b", 6), ("huge", 20), ("a", 4), ("c", 1), ("d", 9));
        Assert.That(Names(), Is.EqualTo(new[]
        {
            "model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors", "model.safetensors.index.json",
        }));
        Assert.That(File.ReadAllText(_folder.File("model.safetensors.index.json")), Is.EqualTo("""
            {
              "metadata": {
                "total_size": 160
              },
              "weight_map": {
                "a": "model-00002-of-00003.safetensors",
                "b": "model-00002-of-00003.safetensors",
                "c": "model-00003-of-00003.safetensors",
                "d": "model-00003-of-00003.safetensors",
                "huge": "model-00001-of-00003.safetensors"
              }
            }

            """.ReplaceLineEndings("\n")));
        using var second = SafetensorsFile.Open(_folder.File("model-00002-of-00003.safetensors"));
        Assert.That(second.Names, Is.EqualTo(new[] { "b", "a" }));
    }

    [TestCase(40, "model.safetensors")]
    [TestCase(39, "model-00001-of-00002.safetensors model-00002-of-00002.safetensors model.safetensors.index.json")]
    public void OneFileThatHoldsAllHasNoIndex(long maxShardBytes, string names)
    {
        Write(maxShardBytes, ("a", 4), ("b", 6));
        Assert.That(string.Join(' ', Names()), Is.EqualTo(names));
    }

    /// <summary>Whatever the limit, the same weights come back, no file is over it but for a single tensor, and none is left of another limit.</summary>
    [Test]
    public void AModelInShardsIsTheSameModel([Values] bool interleaved, [Values(NumberFormat.F32, NumberFormat.BF16)] NumberFormat format)
    {
        var model = TinyModels.Create(_backend, TinyModels.Config(vocabulary: 258, interleaved: interleaved));
        ModelFile.Save(_folder.File("whole"), model, s_tokenizer, format);
        var whole = TinyModels.Weights(ModelFile.LoadWeights(_folder.File("whole"), _backend));
        var folder = _folder.File("cut");
        foreach (var most in new long[] { 30_000, 1, 5_000, 4_999, 1_000_000, 12_345 })
        {
            ModelFile.Save(folder, model, s_tokenizer, format, most);
            Assert.That(TinyModels.Weights(ModelFile.LoadWeights(folder, _backend)), Is.EqualTo(whole), $"{most}");
            var files = Directory.GetFiles(folder, "*.safetensors");
            Assert.That(files.All(file => SafetensorsBytes.Data(File.ReadAllBytes(file)).Length <= most || Tensors(file) == 1), $"{most}");
            Assert.That(files.Sum(Tensors), Is.EqualTo(model.Parameters().Count()));
            Assert.That(File.Exists(Path.Combine(folder, SafetensorsShards.IndexName)), Is.EqualTo(files.Length > 1));
            if (files.Length > 1)
            {
                var index = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, SafetensorsShards.IndexName))).RootElement;
                Assert.That(
                    index.GetProperty("weight_map").EnumerateObject().Select(static e => e.Value.GetString()).Distinct(),
                    Is.EquivalentTo(files.Select(Path.GetFileName)));
                Assert.That(
                    index.GetProperty("metadata").GetProperty("total_size").GetInt64(), Is.EqualTo(files.Sum(file => (long)SafetensorsBytes.Data(File.ReadAllBytes(file)).Length)));
            }
        }

        static int Tensors(string path)
        {
            using var file = SafetensorsFile.Open(path);
            return file.Names.Count();
        }
    }

    /// <summary>A shard that cannot be written leaves the model that was there, and nothing of the new one.</summary>
    [Test]
    public void AFailureBetweenShardsLeavesTheOldModel()
    {
        var model = TinyModels.Create(_backend, TinyModels.Config(vocabulary: 258));
        var folder = _folder.File("model");
        ModelFile.Save(folder, model, s_tokenizer, maxShardBytes: 10_000);
        var before = Directory.GetFiles(folder).Order().Select(static file => (file, Convert.ToHexString(File.ReadAllBytes(file)))).ToArray();
        _backend.Fill(model.Weights["model.norm.weight"].Data, (Real)1e6); // the last tensor: other shards are written by then
        Assert.That(() => ModelFile.Save(folder, model, s_tokenizer, NumberFormat.F16, 9_000), Throws.TypeOf<InputException>());
        Assert.That(Directory.GetFiles(folder).Order().Select(static file => (file, Convert.ToHexString(File.ReadAllBytes(file)))), Is.EqualTo(before));
        Assert.That(Directory.GetFileSystemEntries(_folder.Path).Select(Path.GetFileName), Is.EqualTo(new[] { "model" }));
    }

    private void Write(long maxShardBytes, params (string Name, int Count)[] tensors) => ShardedWriter.Write(
        _folder.Path,
        [.. tensors.Select(static t => (t.Name, new[] { t.Count }, (ReadValues)(static (start, values) => values.Fill(start))))],
        maxShardBytes: maxShardBytes);

    private string[] Names() => [.. Directory.GetFiles(_folder.Path).Select(static file => Path.GetFileName(file)).Order(StringComparer.Ordinal)];
}
