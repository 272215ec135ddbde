using System.Buffers.Binary;
using FsCheck;
using FsCheck.Fluent;
using TinyDpo.Models;

namespace TinyDpo.Tests;

public class SafetensorsFileTests
{
    [Test]
    public void EveryTensorOfARealModelSurvivesByteForByte()
    {
        var source = Repository.Shared("data/weights/stories260K-hf/model.safetensors");
        using var folder = new TemporaryFolder();
        var copy = folder.File("model.safetensors");
        using (var file = SafetensorsFile.Open(source))
        {
            Assert.That(file.Names, Has.Count.EqualTo(47));
            Assert.That(file.Shape("model.layers.4.mlp.down_proj.weight"), Is.EqualTo(new[] { 64, 172 }));
            SafetensorsWriter.Write(copy, [.. file.Names.Select(n => (n, file.Shape(n), (ReadOnlyMemory<Real>)ReadAll(file, n)))]);
        }
        var (before, after) = (File.ReadAllBytes(source), File.ReadAllBytes(copy));
        Assert.That(SafetensorsBytes.Data(after).SequenceEqual(SafetensorsBytes.Data(before)), Is.True);
        using var written = SafetensorsFile.Open(copy);
        using var original = SafetensorsFile.Open(source);
        Assert.That(written.Names, Is.EqualTo(original.Names));
        Assert.That(written.Names.Select(written.Shape), Is.EqualTo(original.Names.Select(original.Shape)));
    }

    [Test]
    public void RandomTensorsWrittenThenReadAreEqual()
    {
        using var folder = new TemporaryFolder();
        var path = folder.File("random.safetensors");
        var tensor =
            from shape in Gen.Choose(0, 5).ArrayOf().Where(s => s.Length <= 4)
            from values in ArbMap.Default.GeneratorFor<float>().ArrayOf(shape.Aggregate(1, (a, b) => a * b))
            select (Shape: shape, Values: values.Select(v => (Real)v).ToArray());
        Prop.ForAll(tensor.ListOf().ToArbitrary(), tensors =>
        {
            var named = tensors.Select((t, i) => ($"layer.\"{i}\"/ä😀", t.Shape, (ReadOnlyMemory<Real>)t.Values)).ToList();
            SafetensorsWriter.Write(path, named);
            using var file = SafetensorsFile.Open(path);
            return file.Names.SequenceEqual(named.Select(n => n.Item1)) && named.All(n =>
                file.Shape(n.Item1).SequenceEqual(n.Shape) && Bits(ReadAll(file, n.Item1)).SequenceEqual(Bits(n.Item3.ToArray())));
        }).QuickCheckThrowOnFailure();
    }

    [Test]
    public void TheHeaderIsPaddedAndSaysPt()
    {
        using var folder = new TemporaryFolder();
        var path = folder.File("x.safetensors");
        for (var length = 1; length <= 8; length++)
        {
            SafetensorsWriter.Write(path, [(new string('n', length), [2], (ReadOnlyMemory<Real>)new Real[] { 1, -2 })]);
            var bytes = File.ReadAllBytes(path);
            Assert.That(SafetensorsBytes.Header(bytes).Length % 8, Is.Zero);
            Assert.That(SafetensorsBytes.Header(bytes).TrimEnd(' '), Does.StartWith("{\"__metadata__\":{\"format\":\"pt\"},").And.EndWith("}"));
            Assert.That(SafetensorsBytes.Data(bytes).ToArray(), Is.EqualTo(new byte[] { 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0 }));
        }
        SafetensorsWriter.Write(path, (IReadOnlyList<(string, int[], ReadOnlyMemory<Real>)>)[], new Dictionary<string, string> { ["step"] = "7" });
        using var file = SafetensorsFile.Open(path);
        Assert.That(file.Names, Is.Empty);
        Assert.That(file.Metadata, Is.EqualTo(new Dictionary<string, string> { ["step"] = "7" }));
    }

    // More than one chunk, with a rest.
    [Test]
    public void ATensorAskedForInPiecesIsWrittenWhole()
    {
        using var folder = new TemporaryFolder();
        var path = folder.File("x.safetensors");
        const int rows = 1000, columns = 211;
        SafetensorsWriter.Write(path, [("w", [rows, columns], (ReadValues)Fill), ("b", [1], Fill)]);
        using var file = SafetensorsFile.Open(path);
        Assert.That(ReadAll(file, "w"), Is.EqualTo(Enumerable.Range(0, rows * columns).Select(i => (Real)i)));
        Assert.That(ReadAll(file, "b"), Is.EqualTo(new Real[] { 0 }));

        static void Fill(int start, Span<Real> destination)
        {
            for (var i = 0; i < destination.Length; i++)
            {
                destination[i] = start + i;
            }
        }
    }

    [Test]
    public void HalfPrecisionIsConvertedForEveryBitPattern()
    {
        const int count = 1 << 16;
        var data = new byte[4 * count];
        for (var i = 0; i < count; i++)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(data.AsSpan(2 * i), (ushort)i);
        }
        data.AsSpan(0, 2 * count).CopyTo(data.AsSpan(2 * count));
        const string header = """
            {"f16": {"dtype": "F16", "shape": [65536], "data_offsets": [0, 131072]},
             "bf16": {"dtype": "BF16", "shape": [65536], "data_offsets": [131072, 262144]}}
            """;
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.File("half"), SafetensorsBytes.File(header, data));
        using var file = SafetensorsFile.Open(folder.File("half"));
        Assert.That(ReadAll(file, "f16"), Is.EqualTo(Enumerable.Range(0, count).Select(i => (Real)Value(i, 5, 10))));
        Assert.That(ReadAll(file, "bf16"), Is.EqualTo(Enumerable.Range(0, count).Select(i => (Real)Value(i, 8, 7))));

        // IEEE 754: sign, exponent, significand.
        static double Value(int bits, int exponentBits, int significandBits)
        {
            var significand = bits & ((1 << significandBits) - 1);
            var exponent = bits >> significandBits & ((1 << exponentBits) - 1);
            var bias = (1 << (exponentBits - 1)) - 1;
            var fraction = (double)significand / (1 << significandBits);
            var magnitude = exponent == (1 << exponentBits) - 1 ? (significand == 0 ? double.PositiveInfinity : double.NaN)
                : exponent == 0 ? Math.ScaleB(fraction, 1 - bias)
                : Math.ScaleB(1 + fraction, exponent - bias);
            return bits >> 15 == 0 ? magnitude : -magnitude;
        }
    }

    [Test]
    public void DoublePrecisionIsRoundedToReal()
    {
        double[] values = [Math.PI, -1e-40, 1e300, 0.1];
        var data = values.SelectMany(BitConverter.GetBytes).ToArray();
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.File("f64"), SafetensorsBytes.File("""{"x":{"dtype":"F64","shape":[2,2],"data_offsets":[0,32]}}""", data));
        using var file = SafetensorsFile.Open(folder.File("f64"));
        Assert.That(ReadAll(file, "x"), Is.EqualTo(values.Select(v => (Real)v)));
    }

    [Test]
    public void AnAbsentTensorAndAnotherShapeAreNamed()
    {
        using var folder = new TemporaryFolder();
        var path = folder.File("x.safetensors");
        SafetensorsWriter.Write(path, [("w", [2, 3], (ReadOnlyMemory<Real>)new Real[6])]);
        using var file = SafetensorsFile.Open(path);
        Assert.That(file.Contains("w") && !file.Contains("v"), Is.True);
        Assert.That(() => file.Shape("v"), Throws.TypeOf<InputException>().With.Message.StartsWith($"{path}, tensor 'v': is not in the file"));
        Assert.That(() => file.Read("v", new Real[6]), Throws.TypeOf<InputException>());
        Assert.That(() => file.Read("w", [3, 2], new Real[6]), Throws.TypeOf<InputException>()
            .With.Message.Contains("tensor 'w': has shape [2, 3], but the model's configuration asks for [3, 2]"));
        Assert.That(() => file.Read("w", [2, 3], new Real[6]), Throws.Nothing);
        Assert.That(() => file.Read("w", new Real[5]), Throws.ArgumentException);
    }

    [Test]
    public void WhatTheWriterCannotSayIsRefused()
    {
        using var folder = new TemporaryFolder();
        foreach (var (name, shape) in ((string, int[])[])[("w", [2]), ("w", [-1, 0]), ("w", [1 << 20, 1 << 20]), ("__metadata__", [3])])
        {
            Assert.That(() => SafetensorsWriter.Write(folder.File("x"), [(name, shape, (ReadOnlyMemory<Real>)new Real[3])]),
                Throws.ArgumentException);
        }
        var twice = ("w", new[] { 1 }, (ReadOnlyMemory<Real>)new Real[1]);
        Assert.That(() => SafetensorsWriter.Write(folder.File("x"), [twice, twice]), Throws.ArgumentException);
        Assert.That(Directory.EnumerateFileSystemEntries(folder.Path), Is.Empty);
    }

    private static Real[] ReadAll(SafetensorsFile file, string name)
    {
        var values = new Real[file.Shape(name).Aggregate(1, (a, b) => a * b)];
        file.Read(name, values);
        return values;
    }

    private static IEnumerable<int> Bits(Real[] values) => values.Select(v => BitConverter.SingleToInt32Bits((float)v));
}
