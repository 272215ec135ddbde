using System.Buffers.Binary;
using TinyDpo.Models;

namespace TinyDpo.Tests;

public class Llama2cFileTests
{
    [Test]
    public void ARealModelIsTheOneInHuggingFacesLayout()
    {
        var (config, tensors) = Llama2cFile.Read(Repository.Shared("data/weights/stories260K.bin"));
        var other = ModelConfig.FromJson(Repository.Shared("data/weights/stories260K-hf/config.json"));
        Assert.That(config, Is.EqualTo(other with { RotaryInterleaved = true }));

        using var file = SafetensorsFile.Open(Repository.Shared("data/weights/stories260K-hf/model.safetensors"));
        Assert.That(tensors.Select(t => t.Name), Is.EquivalentTo(file.Names));
        foreach (var (name, shape, values) in tensors)
        {
            var expected = new Real[values.Length];
            file.Read(name, shape, expected);
            var half = name.Contains("q_proj") ? RotaryLayout.ToHalf(values, config.Heads, config.HeadSize)
                : name.Contains("k_proj") ? RotaryLayout.ToHalf(values, config.KeyValueHeads, config.HeadSize)
                : values;
            Assert.That(half.AsSpan().SequenceEqual(expected), Is.True, name);
        }
    }

    [Test]
    public void TheLayoutsAreInverse()
    {
        const int heads = 3, headSize = 6, columns = 5;
        var weight = Enumerable.Range(0, heads * headSize * columns).Select(i => (Real)i).ToArray();
        var half = RotaryLayout.ToHalf(weight, heads, headSize);
        Assert.That(half, Is.Not.EqualTo(weight));
        Assert.That(RotaryLayout.ToInterleaved(half, heads, headSize), Is.EqualTo(weight));
        var rows = Enumerable.Range(0, headSize).Select(row => (int)half[row * columns] / columns);
        Assert.That(rows, Is.EqualTo(new[] { 0, 2, 4, 1, 3, 5 }), "even rows first, then odd ones");
        Assert.That(() => RotaryLayout.ToHalf(weight, heads, 5), Throws.ArgumentException);
        Assert.That(() => RotaryLayout.ToHalf(weight, 7, headSize), Throws.ArgumentException);
    }

    // Every number is its place among the floats of the file, so that each tensor shows where it was read from.
    [TestCase(5, 118, false)]
    [TestCase(-5, 138, true)]
    public void TensorsComeFromTheirPlaces(int vocab, int floats, bool hasHead)
    {
        using var folder = new TemporaryFolder();
        var path = Write(folder, [4, 3, 1, 2, 1, vocab, 1], floats);
        var (config, tensors) = Llama2cFile.Read(path);
        Assert.That((config.VocabSize, config.TieEmbeddings, config.HeadSize), Is.EqualTo((5, !hasHead, 2)));
        var expected = new List<(string, int[], int)>
        {
            ("model.embed_tokens.weight", [5, 4], 0),
            ("model.layers.0.input_layernorm.weight", [4], 20),
            ("model.layers.0.self_attn.q_proj.weight", [4, 4], 24),
            ("model.layers.0.self_attn.k_proj.weight", [2, 4], 40),
            ("model.layers.0.self_attn.v_proj.weight", [2, 4], 48),
            ("model.layers.0.self_attn.o_proj.weight", [4, 4], 56),
            ("model.layers.0.post_attention_layernorm.weight", [4], 72),
            ("model.layers.0.mlp.gate_proj.weight", [3, 4], 76),
            ("model.layers.0.mlp.down_proj.weight", [4, 3], 88),
            ("model.layers.0.mlp.up_proj.weight", [3, 4], 100),
            ("model.norm.weight", [4], 112),
        };
        if (hasHead)
        {
            expected.Add(("lm_head.weight", [5, 4], 118));
        }
        Assert.That(tensors.Select(t => (t.Name, (int)t.Values[0])), Is.EqualTo(expected.Select(e => (e.Item1, e.Item3))));
        Assert.That(tensors.Select(t => t.Shape), Is.EqualTo(expected.Select(e => e.Item2)));
        Assert.That(tensors.All(t => t.Values.Select((v, i) => v == t.Values[0] + i).All(same => same)), Is.True);
    }

    [TestCase(-4, "file is cut short: expects 500 bytes, has 496; copy or download it again")]
    [TestCase(4, "has 4 bytes more than its header says")]
    public void AnotherSizeIsRefused(int change, string message)
    {
        using var folder = new TemporaryFolder();
        var path = Write(folder, [4, 3, 1, 2, 1, 5, 1], 118);
        var bytes = File.ReadAllBytes(path);
        Array.Resize(ref bytes, bytes.Length + change);
        File.WriteAllBytes(path, bytes);
        Assert.That(() => Llama2cFile.Read(path), Throws.TypeOf<InputException>().With.Message.StartsWith($"{path}: {message}"));
    }

    [TestCase(new[] { 4, 3, 1, 2, 1, 0, 1 }, "vocab_size: must lie in")]
    [TestCase(new[] { 4, 3, 1, 2, 1, int.MinValue, 1 }, "header: [4, 3, 1, 2, 1, -2147483648, 1] describes no model")]
    [TestCase(new[] { 4, 3, 1, 0, 1, 5, 1 }, "describes no model")]
    [TestCase(new[] { 4, 3, 1, 3, 1, 5, 1 }, "describes no model")]
    [TestCase(new[] { 4, 3, int.MaxValue, 2, 1, 5, 1 }, "num_hidden_layers: must lie in")]
    [TestCase(new[] { 262144, 1048576, 4096, 4096, 4096, 16777216, 1 }, "vocab_size: a weight of")]
    [TestCase(new[] { 0x616b3432, 1, 64, 172, 5, 8, 4 }, "header: is of a later version of llama2.c's format")]
    public void AHeaderThatMakesNoModelIsRefused(int[] header, string message)
    {
        using var folder = new TemporaryFolder();
        var path = Write(folder, header, 4);
        Assert.That(() => Llama2cFile.Read(path), Throws.TypeOf<InputException>().With.Message.Contains(message));
    }

    [Test]
    public void AShortHeaderIsRefused()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.File("m.bin"), new byte[27]);
        Assert.That(() => Llama2cFile.Read(folder.File("m.bin")),
            Throws.TypeOf<InputException>().With.Message.Contains("expects 28 bytes, has 27"));
    }

    private static string Write(TemporaryFolder folder, int[] header, int floats)
    {
        var bytes = new byte[sizeof(int) * (header.Length + floats)];
        for (var i = 0; i < header.Length; i++)
        {
            BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(sizeof(int) * i), header[i]);
        }
        for (var i = 0; i < floats; i++)
        {
            BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(sizeof(int) * (header.Length + i)), i);
        }
        var path = folder.File("model.bin");
        File.WriteAllBytes(path, bytes);
        return path;
    }
}
