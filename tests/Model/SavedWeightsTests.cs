using System.Buffers.Binary;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>Real models to files and back, other formats of numbers, and shards.</summary>
public class SavedWeightsTests
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

    /// <summary>Every tensor's bytes, under its name in the file; a GPT-2 without a head gets its prefix.</summary>
    [TestCase("stories260K-hf", "")]
    [TestCase("tiny_gpt2", "transformer.")]
    public void ARealModelSavedHasTheBytesOfEveryTensor(string name, string prefix)
    {
        var source = Repository.Shared($"data/weights/{name}");
        var (model, tokenizer) = ModelFile.Load(source, _backend);
        ModelFile.Save(_folder.File("saved"), model, tokenizer);
        var (theirs, ours) = (Tensors(source), Tensors(_folder.File("saved")));
        Assert.That(ours.Keys, Is.EquivalentTo(theirs.Keys.Select(tensor => prefix + tensor)));
        foreach (var (tensor, (shape, bytes)) in theirs)
        {
            Assert.That(ours[prefix + tensor].Shape, Is.EqualTo(shape), tensor);
            Assert.That(ours[prefix + tensor].Bytes, Is.EqualTo(bytes), tensor);
        }
        var (again, sameTokenizer) = ModelFile.Load(_folder.File("saved"), _backend);
        Assert.That(TinyModels.Weights(again), Is.EqualTo(TinyModels.Weights(model)));
        Assert.That(sameTokenizer.Encode("Once upon a time"), Is.EqualTo(tokenizer.Encode("Once upon a time")));
    }

    /// <summary>What a format holds comes back from it to the bit, and a second writing gives the same bytes.</summary>
    [TestCase(NumberFormat.F16, "float16")]
    [TestCase(NumberFormat.BF16, "bfloat16")]
    [TestCase(NumberFormat.F32, "float32")]
    public void AFormatKeepsWhatItHolds(NumberFormat format, string dtype)
    {
        var model = TinyModels.Create(_backend, TinyModels.Config(vocabulary: 258));
        ModelFile.Save(_folder.File("first"), model, s_tokenizer, format);
        var rounded = ModelFile.LoadWeights(_folder.File("first"), _backend);
        ModelFile.Save(_folder.File("second"), rounded, s_tokenizer, format);
        Assert.That(Bytes("second"), Is.EqualTo(Bytes("first")));
        Assert.That(TinyModels.Weights(ModelFile.LoadWeights(_folder.File("second"), _backend)), Is.EqualTo(TinyModels.Weights(rounded)));
        Assert.That(File.ReadAllText(Path.Combine(_folder.File("first"), "config.json")), Does.Contain($"\"torch_dtype\": \"{dtype}\""));
        Assert.That(SafetensorsBytes.Header(Bytes("first")), Does.Contain($"\"dtype\":\"{format}\""));
        var spacing = format switch { NumberFormat.F16 => 11, NumberFormat.BF16 => 8, _ => 24 };
        Assert.That(
            TinyModels.RelativeDistance(TinyModels.Weights(rounded), TinyModels.Weights(model)), Is.LessThanOrEqualTo(Math.ScaleB(1, -spacing)));

        byte[] Bytes(string name) => File.ReadAllBytes(Path.Combine(_folder.File(name), "model.safetensors"));
    }

    /// <summary>Rounding to nearest, ties to even, at the places where it is easy to get wrong.</summary>
    [TestCase(1f + (1f / 256), 0x3F80)]
    [TestCase(1f + (3f / 256), 0x3F82)]
    [TestCase(1.0039064f, 0x3F81)]
    [TestCase(float.NaN, 0x7FC0)]
    [TestCase(float.NegativeInfinity, 0xFF80)]
    [TestCase(1e-40f, 0x0001)]
    public void BFloat16RoundsToTheNearestTiesToEven(float value, int bits)
    {
        using var stream = new MemoryStream();
        StoredNumbers.Write(stream, NumberFormat.BF16, [(Real)value]);
        Assert.That(BinaryPrimitives.ReadUInt16LittleEndian(stream.ToArray()) & (float.IsNaN(value) ? 0x7FFF : 0xFFFF), Is.EqualTo(bits));
    }

    [TestCase(NumberFormat.F16, 65520f)]
    [TestCase(NumberFormat.BF16, float.MaxValue)]
    public void ANumberBeyondTheFormatIsNamedAndNothingIsWritten(NumberFormat format, float value)
    {
        var model = TinyModels.Create(_backend, TinyModels.Config(vocabulary: 258));
        _backend.Fill(model.Weights["model.norm.weight"].Data, value);
        Assert.That(
            () => ModelFile.Save(_folder.File("out"), model, s_tokenizer, format),
            Throws.TypeOf<InputException>().With.Message.Contains("tensor 'model.norm.weight'").And.Message.Contains(format.ToString()));
        Assert.That(Directory.Exists(_folder.File("out")), Is.False);
    }

    [Test]
    public void ShardsAreReadAsOneModel()
    {
        var model = SaveShards();
        Assert.That(TinyModels.Weights(ModelFile.LoadWeights(_folder.Path, _backend)), Is.EqualTo(TinyModels.Weights(model)));
    }

    [TestCase("\"model.norm.weight\": \"b.safetensors\"", "\"model.norm.weight\": \"../b.safetensors\"", "'../b.safetensors' is no plain file name")]
    [TestCase("\"model.norm.weight\": \"b.safetensors\"", "\"model.norm.weight\": \"b\\n.safetensors\"", "'b?.safetensors' is no plain file name")]
    [TestCase("\"model.norm.weight\": \"b.safetensors\"", "\"model.norm.weight\": \"a.safetensors\"", "'a.safetensors' has no such tensor")]
    [TestCase("\"model.norm.weight\": \"b.safetensors\"", "\"model.norm.weight\": \"c.safetensors\"", "there is no such file")]
    [TestCase("\"model.embed_tokens.weight\": \"a.safetensors\", ", "", "'model.embed_tokens.weight': is not in model.safetensors.index.json")]
    [TestCase(", \"model.norm.weight\": \"b.safetensors\"", "", "'model.norm.weight': is missing")]
    [TestCase("\"weight_map\"", "\"weights\"", "weight_map: is no JSON object")]
    [TestCase("\"b.safetensors\"", "7", "weight_map: is no JSON object of file names")]
    public void AnIndexThatDoesNotFitIsRefused(string from, string to, string message)
    {
        SaveShards();
        var index = _folder.File(SafetensorsShards.IndexName);
        var text = File.ReadAllText(index);
        Assert.That(text, Does.Contain(from));
        File.WriteAllText(index, text.Replace(from, to));
        Assert.That(() => ModelFile.LoadWeights(_folder.Path, _backend), Throws.TypeOf<InputException>().With.Message.Contains(message));
    }

    /// <summary>GPT-2's causal masks, which older files hold, are not weights; any other unknown tensor is named.</summary>
    [Test]
    public void OfGpt2TheMasksAloneAreNotRead()
    {
        var gpt2 = TinyModels.Architectures().First(static a => a.Name == "gpt2").Config with { VocabSize = 258 };
        var model = TinyModels.Create(_backend, gpt2);
        ModelFile.Save(_folder.Path, model, s_tokenizer);
        Write("transformer.h.0.attn.bias");
        Assert.That(TinyModels.Weights(ModelFile.LoadWeights(_folder.Path, _backend)), Is.EqualTo(TinyModels.Weights(model)));
        Write("transformer.h.0.attn.scale");
        Assert.That(
            () => ModelFile.LoadWeights(_folder.Path, _backend), Throws.TypeOf<InputException>().With.Message.Contains("tensor 'transformer.h.0.attn.scale'"));

        void Write(string extra) => SafetensorsWriter.Write(
            _folder.File("model.safetensors"),
            [
                .. StoredWeight.Of(model).Select(static w => (w.Name, w.Shape, (ReadOnlyMemory<Real>)w.Gather(static (_, t) => t.ToArray()))),
                (extra, [1, 1, 2, 2], new Real[4]),
            ]);
    }

    /// <summary>Masks as transformers' older versions wrote them, of truth values or bytes; a weight of such a kind is refused.</summary>
    [TestCase("BOOL", 1)]
    [TestCase("U8", 1)]
    [TestCase("I64", 8)]
    public void Gpt2sMasksMayBeOfAnyKind(string dtype, int bytes)
    {
        var gpt2 = TinyModels.Architectures().First(static a => a.Name == "gpt2").Config with { VocabSize = 258 };
        var model = TinyModels.Create(_backend, gpt2);
        ModelFile.Save(_folder.Path, model, s_tokenizer);
        var path = _folder.File("model.safetensors");
        var whole = File.ReadAllBytes(path);
        Add("transformer.h.0.attn.masked_bias");
        Assert.That(TinyModels.Weights(ModelFile.LoadWeights(_folder.Path, _backend)), Is.EqualTo(TinyModels.Weights(model)));
        Add("transformer.h.0.attn.scale");
        Assert.That(
            () => ModelFile.LoadWeights(_folder.Path, _backend), Throws.TypeOf<InputException>().With.Message.Contains("tensor 'transformer.h.0.attn.scale'"));

        void Add(string name)
        {
            var header = SafetensorsBytes.Header(whole).TrimEnd();
            var data = SafetensorsBytes.Data(whole);
            var entry = $$"""{"dtype":"{{dtype}}","shape":[4],"data_offsets":[{{data.Length}},{{data.Length + (4 * bytes)}}]}""";
            File.WriteAllBytes(path, SafetensorsBytes.File($"{header[..^1]},\"{name}\":{entry}}}", [.. data, .. new byte[4 * bytes]]));
        }
    }

    [TestCase("pytorch_model.bin")]
    [TestCase("pytorch_model.bin.index.json")]
    public void PicklesAreToBeSavedOtherwise(string name)
    {
        ModelFile.Save(_folder.Path, TinyModels.Create(_backend, TinyModels.Config(vocabulary: 258)), s_tokenizer);
        File.Move(_folder.File("model.safetensors"), _folder.File(name));
        Assert.That(() => ModelFile.LoadWeights(_folder.Path, _backend), Throws.TypeOf<InputException>()
            .With.Message.Contains($"{name}: is PyTorch's pickle, which is not read; save the weights as model.safetensors"));
        File.Delete(_folder.File(name));
        Assert.That(() => ModelFile.LoadWeights(_folder.Path, _backend), Throws.TypeOf<InputException>()
            .With.Message.Contains("model.safetensors: there is no such file"));
    }

    // a.safetensors holds all but the last tensor, b.safetensors that.
    private Transformer SaveShards()
    {
        var model = TinyModels.Create(_backend, TinyModels.Config(vocabulary: 258));
        ModelFile.Save(_folder.Path, model, s_tokenizer);
        File.Delete(_folder.File("model.safetensors"));
        (string Name, int[] Shape, ReadOnlyMemory<Real> Values)[] tensors =
            [.. model.Parameters().Select(static p => (p.Name, p.Value.Shape.ToArray(), (ReadOnlyMemory<Real>)p.Value.ToArray()))];
        SafetensorsWriter.Write(_folder.File("a.safetensors"), tensors[..^1]);
        SafetensorsWriter.Write(_folder.File("b.safetensors"), tensors[^1..]);
        var map = tensors.Select((t, i) => $"\"{t.Name}\": \"{(i == tensors.Length - 1 ? 'b' : 'a')}.safetensors\"");
        File.WriteAllText(
            _folder.File(SafetensorsShards.IndexName), $$"""{"metadata": {"total_size": 1}, "weight_map": { {{string.Join(", ", map)}} } }""");
        return model;
    }

    private static Dictionary<string, (int[] Shape, byte[] Bytes)> Tensors(string folder)
    {
        var path = Path.Combine(folder, "model.safetensors");
        using var file = SafetensorsFile.Open(path);
        var data = SafetensorsBytes.Data(File.ReadAllBytes(path)).ToArray();
        var offset = 0;
        return file.Names.ToDictionary(static name => name, name =>
        {
            var shape = file.Shape(name);
            var bytes = data.AsSpan(offset, sizeof(float) * shape.Aggregate(1, static (a, b) => a * b)).ToArray();
            offset += bytes.Length;
            return (shape, bytes);
        });
    }
}
