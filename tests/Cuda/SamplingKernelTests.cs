using TinyDpo.Kernels;

namespace TinyDpo.Tests.Cuda;

[TestFixture(CudaDevice.Simulated)]
[TestFixture(CudaDevice.Card, Category = "Gpu")]
public class SamplingKernelTests(CudaDevice device) : KernelTests(device)
{
    [TestCase(0.0, 0, 1.0)]
    [TestCase(1.0, 0, 1.0)]
    [TestCase(0.3, 0, 1.0)]
    [TestCase(1.0, 1, 1.0)]
    [TestCase(1.0, 40, 1.0)]
    [TestCase(1.0, 100_000, 1.0)]
    [TestCase(1.0, 0, 0.9)]
    [TestCase(1.0, 0, 0.0)]
    [TestCase(2.0, 0, 0.999)]
    [TestCase(0.7, 50, 0.8)]
    public void TheTokensAreThoseOfTheCpu(double temperature, int topK, double topP)
    {
        foreach (var words in new[] { 1, 5, 33, 512, 8191, 8193 })
        {
            const int rows = 12;
            float[] logits = [.. DevicePair.Numbers(words, rows * words).Select(static v => 3 * v)];
            RequireSameTokens(logits, rows, words, new SamplingOptions(temperature, topK, topP), words > 1000 ? 3 : 20);
        }
    }

    /// <summary>Logits of few values, so that many words share one: ties go by id, with every kind of choice.</summary>
    [Test]
    public void EqualLogitsStandInTheOrderOfTheirIds([Values(0, 3, 100)] int topK, [Values(0.5, 0.95, 1)] double topP)
    {
        const int rows = 8;
        foreach (var words in new[] { 7, 300 })
        {
            float[] logits = [.. DevicePair.Numbers(words, rows * words).Select(static v => MathF.Round(v))];
            RequireSameTokens(logits, rows, words, new SamplingOptions(1, topK, topP), 20);
            RequireSameTokens(logits, rows, words, new SamplingOptions(0, topK, topP), 1);
        }
    }

    [Test]
    public void WordsThatAreMaskedAreNeverDrawn()
    {
        const int words = 100;
        float[] logits = [.. Enumerable.Range(0, 4 * words).Select(static i => i % 10 == 3 ? i % 7 : float.NegativeInfinity)];
        foreach (var options in new[] { new SamplingOptions(), new SamplingOptions(1, 20), new SamplingOptions(1, 0, 0.9) })
        {
            RequireSameTokens(logits, 4, words, options, 20);
        }
    }

    [TestCase(float.NaN)]
    [TestCase(float.PositiveInfinity)]
    public void ALogitThatIsNotFiniteIsAnError(float bad)
    {
        foreach (var temperature in new[] { 0.0, 1 })
        {
            float[] logits = [.. DevicePair.Numbers(1, 300)];
            logits[217] = bad;
            Assert.Throws<NonFiniteException>(() => Tokens(Devices.Cuda, logits, 3, 100, new SamplingOptions(temperature), 0));
        }
        float[] nothing = [.. Enumerable.Repeat(float.NegativeInfinity, 100)];
        Assert.Throws<NonFiniteException>(() => Tokens(Devices.Cuda, nothing, 1, 100, new SamplingOptions(), 0));
    }

    private void RequireSameTokens(float[] logits, int rows, int words, SamplingOptions options, int positions)
    {
        for (var position = 0; position < positions; position++)
        {
            var expected = Tokens(Devices.Cpu, logits, rows, words, options, position);
            var actual = Tokens(Devices.Cuda, logits, rows, words, options, position);
            Assert.That(actual, Is.EqualTo(expected), $"{words} words, {options}, position {position}");
        }
    }

    private static int[] Tokens(IBackend backend, float[] logits, int rows, int words, SamplingOptions options, int position)
    {
        var tokens = new int[rows];
        DevicePair.Run(backend, 0, [logits], (b, arrays) =>
        {
            var token = DevicePair.Indices(b, [.. Enumerable.Repeat(-7, rows)]);
            var sequences = DevicePair.Indices(b, [.. Enumerable.Range(100, rows)]);
            var positions = DevicePair.Indices(b, [.. Enumerable.Repeat(position, rows)]);
            b.Sample(arrays[0], rows, words, options, 0x1234_5678_9abc_def0, sequences, positions, token);
            b.Download(token, tokens);
        });
        return tokens;
    }
}
