using TinyDpo.Kernels;

namespace TinyDpo.Tests;

public class PhiloxTests
{
    // The known-answer vectors published with Random123 (kat_vectors, philox4x32-10).
    [Test]
    public void MatchesThePublishedVectors()
    {
        Assert.That(Philox.Block(0, 0, 0, 0, 0), Is.EqualTo((0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u)));
        Assert.That(Philox.Block(ulong.MaxValue, (RandomPurpose)uint.MaxValue, uint.MaxValue, uint.MaxValue, uint.MaxValue),
            Is.EqualTo((0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu)));
    }

    [Test]
    public void NormalNumbersHaveMeanZeroAndVarianceOne()
    {
        const int count = 20_000;
        var x = Enumerable.Range(0, count).Select(i => Philox.Normal(1, RandomPurpose.Test, 0, 0, i)).ToArray();
        var mean = x.Average();
        Assert.That(mean, Is.EqualTo(0).Within(4 / Math.Sqrt(count)));
        Assert.That(x.Average(v => (v - mean) * (v - mean)), Is.EqualTo(1).Within(6 / Math.Sqrt(count)));
    }

    [Test]
    public void APermutationHoldsEachNumberOnce() =>
        Assert.That(Philox.Permutation(3, RandomPurpose.Shuffle, 2, 1000).Order(), Is.EqualTo(Enumerable.Range(0, 1000)));
}
