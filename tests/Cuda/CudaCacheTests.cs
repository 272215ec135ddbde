using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tests.Kernels;
using static TinyDpo.Tests.AttentionOnDevice;
using static TinyDpo.Tests.Kernels.AttentionTests;

namespace TinyDpo.Tests;

/// <summary>The key/value cache, its attention and rotary positions on the device.</summary>
[TestFixture(CudaDevice.Simulated)]
[TestFixture(CudaDevice.Card, Category = "Gpu")]
public class CudaCacheTests(CudaDevice device) : CudaDeviceTests(device)
{
    [TestCase(12, 0)]
    [TestCase(7, 0)]
    [TestCase(12, 1)]
    public void AppendPutsEachRowAtItsPlace(int width, int offset)
    {
        const int sequences = 3, capacity = 5;
        int[] lengths = [1, 5, 3];
        using var scope = new MemoryScope(Cuda);
        Real[] Sequence(int start, int count) => [.. Enumerable.Range(start, count).Select(static i => (Real)i)];
        var (k, v) = (Sequence(1000, sequences * width), Sequence(2000, sequences * width));
        var (kCache, vCache) = (Sequence(0, sequences * capacity * width), Sequence(5000, sequences * capacity * width));
        var (kOnDevice, vOnDevice) = (Upload(Cuda, kCache, offset), Upload(Cuda, vCache, offset));
        Cuda.AppendCache(Upload(Cuda, k, offset), Upload(Cuda, v, offset), Upload(Cuda, lengths), sequences, capacity, width, kOnDevice, vOnDevice);
        for (var s = 0; s < sequences; s++)
        {
            var place = ((s * capacity) + lengths[s] - 1) * width;
            k.AsSpan(s * width, width).CopyTo(kCache.AsSpan(place));
            v.AsSpan(s * width, width).CopyTo(vCache.AsSpan(place));
        }
        Assert.That(Numbers(Cuda, kOnDevice), Is.EqualTo(kCache));
        Assert.That(Numbers(Cuda, vOnDevice), Is.EqualTo(vCache));
    }

    [Test]
    public void ASequenceLongerThanTheWindowIsRefused()
    {
        using var scope = new MemoryScope(Cuda);
        var (x, lengths) = (Upload(Cuda, new Real[20]), Upload(Cuda, [5]));
        var (layout, logSumExp) = (SegmentLayout.Validate([new Segment(0, 0, 0, 5)], 5), Upload(Cuda, new Real[5]));
        Assert.That(Cuda.HasSlidingWindow, Is.False);
        var shape = new AttentionShape(1, 1, 4, Window: 4);
        Assert.That(() => Cuda.SegmentAttention(shape, layout, x, x, x, x, logSumExp), Throws.InstanceOf<NotSupportedException>());
        Assert.That(() => Cuda.SegmentAttentionBackward(shape, layout, x, x, x, x, logSumExp, x, x, x, x), Throws.InstanceOf<NotSupportedException>());
        Assert.That(() => Cuda.DecodeAttention(shape, x, x, x, lengths, 1, 5, x), Throws.InstanceOf<NotSupportedException>());
        Assert.That(() => Cuda.DecodeAttention(shape with { Window = 5 }, x, x, x, lengths, 1, 5, Upload(Cuda, new Real[4])), Throws.Nothing);

        var config = TinyModels.Config() with { Architecture = Architecture.Mistral, SlidingWindow = 6 };
        var model = new Transformer(config, Cuda);
        model.Initialise(1);
        const string remedy = "has no attention within a window; give --device cpu, or fewer tokens";
        Assert.That(
            () => model.Hidden(PackedBatch.Pack(Cuda, [new PromptGroup([1, 2, 3], [[1, 2, 3, 4, 5]])])),
            Throws.InstanceOf<InputException>().With.Message.EndsWith(remedy));
        Assert.That(
            () => Generator.Sample(model, [[1, 2, 3]], new GenerationOptions { MaxTokens = 4 }),
            Throws.InstanceOf<InputException>().With.Message.EndsWith(remedy));
        Assert.That(() => Generator.Sample(model, [[1, 2, 3]], new GenerationOptions { MaxTokens = 3 }), Throws.Nothing);
    }

    [Test]
    public void ALengthThatDoesNotFitTheCacheIsRefused([Values(-1, 6)] int length)
    {
        using var scope = new MemoryScope(Cuda);
        var (x, cache, lengths) = (Upload(Cuda, new Real[4]), Upload(Cuda, new Real[20]), Upload(Cuda, [length]));
        Assert.That(() => Cuda.AppendCache(x, x, lengths, 1, 5, 4, cache, cache), Throws.ArgumentException);
        Assert.That(() => Cuda.DecodeAttention(new AttentionShape(1, 1, 4), x, cache, cache, lengths, 1, 5, x), Throws.InstanceOf<ArgumentException>());
    }

    // Heads that share a key/value head: one, a few, more than a warp takes at once.
    [TestCase(1, 1, 16)]
    [TestCase(4, 2, 64)]
    [TestCase(11, 1, 8)]
    [TestCase(3, 1, 13)]
    [TestCase(2, 1, 128)]
    [TestCase(2, 1, 129)]
    public void DecodingGivesEachRowTheBitsOfSegmentAttention(int heads, int kvHeads, int headSize)
    {
        const int tokens = 70, capacity = 72;
        var x = new AttentionCase { Layout = Layout([tokens]), Heads = heads, KvHeads = kvHeads, HeadSize = headSize }.Fill(3);
        // Sequences of some lengths, the first with nothing cached; what the caches hold beyond is NaN.
        int[] lengths = [0, 1, 2, 31, 32, 33, 64, 70];
        var (keys, values) = (new Real[lengths.Length * capacity * x.LdK], new Real[lengths.Length * capacity * x.LdV]);
        Array.Fill(keys, Real.NaN);
        Array.Fill(values, Real.NaN);
        var queries = new Real[lengths.Length * x.LdQ];
        for (var s = 1; s < lengths.Length; s++)
        {
            x.K.AsSpan(0, lengths[s] * x.LdK).CopyTo(keys.AsSpan(s * capacity * x.LdK));
            x.V.AsSpan(0, lengths[s] * x.LdV).CopyTo(values.AsSpan(s * capacity * x.LdV));
            x.Q.AsSpan((lengths[s] - 1) * x.LdQ, x.LdQ).CopyTo(queries.AsSpan(s * x.LdQ));
        }
        Real[] decoded;
        using (new MemoryScope(Cuda))
        {
            var output = Empty(Cuda, queries.Length);
            Cuda.DecodeAttention(
                Shape(x), Upload(Cuda, queries), Upload(Cuda, keys), Upload(Cuda, values), Upload(Cuda, lengths), lengths.Length, capacity, output);
            decoded = Numbers(Cuda, output);
        }
        Assert.That(decoded[..x.LdO], Is.All.Zero);
        AssertSameBits(decoded[x.LdO..], AttentionCase.Rows(Forward(Cuda, x).O, x.LdO, lengths.Skip(1).Select(static n => n - 1)));
    }

    [Test]
    public void RotaryHasTheBitsOfTheCpu(
        [Values(1, 2, 7, 8, 24, 64, 130)] int headSize, [Values] bool interleaved, [Values] bool inverse, [Values] bool accumulate, [Values(0, 1)] int offset)
    {
        const int tokens = 33, heads = 3, table = 9;
        Real[] Normal(int which, int count) =>
            [.. Enumerable.Range(0, count).Select(i => (Real)Philox.Normal(5, RandomPurpose.Test, which, 0, i))];
        var half = headSize / 2;
        int[] positions = [.. Enumerable.Range(0, tokens).Select(static t => t * 5 % table)];
        var (x, y) = (Normal(0, tokens * heads * headSize), Normal(1, tokens * heads * headSize));
        var (cosines, sines) = (Normal(2, table * half), Normal(3, table * half));
        using var cpu = new CpuBackend();
        AssertSameBits(On(Cuda), half == 0 ? y : On(cpu));

        Real[] On(IBackend backend)
        {
            using var scope = new MemoryScope(backend);
            var result = Upload(backend, y, offset);
            backend.Rotary(
                Upload(backend, x, offset), Upload(backend, positions), Upload(backend, cosines, offset), Upload(backend, sines, offset), tokens, heads,
                headSize, interleaved, inverse, result, accumulate);
            return Numbers(backend, result);
        }
    }
}
