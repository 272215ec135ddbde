using TinyDpo.Kernels;
using TinyDpo.Tests.Kernels;
using static TinyDpo.Tests.AttentionOnDevice;
using static TinyDpo.Tests.Kernels.AttentionTests;

namespace TinyDpo.Tests;

/// <summary>Segment attention on the device against plain loops in double, and what it promises beyond closeness.</summary>
[TestFixture(CudaDevice.Simulated)]
[TestFixture(CudaDevice.Card, Category = "Gpu")]
public class CudaAttentionTests(CudaDevice device) : CudaDeviceTests(device)
{
    private static AttentionCase Case(SegmentLayout layout, int heads, int kvHeads, int headSize, int seed = 1, double magnitude = 1) =>
        new AttentionCase { Layout = layout, Heads = heads, KvHeads = kvHeads, HeadSize = headSize }.Fill(seed, magnitude);

    private void AssertMatchesReference(AttentionCase x, int offset = 0)
    {
        var terms = x.Layout.LongestSequence + x.HeadSize;
        var (o, lse) = Forward(Cuda, x, offset);
        var (expectedO, expectedLse) = x.Forward(reference: true);
        AssertClose(o, expectedO, terms, "o");
        AssertClose(lse, expectedLse, terms, "lse");
        var (dq, dk, dv) = Backward(Cuda, x, offset);
        var (expectedDq, expectedDk, expectedDv) = x.Backward(reference: true);
        AssertClose(dq, expectedDq, terms, "dq");
        AssertClose(dk, expectedDk, terms, "dk");
        AssertClose(dv, expectedDv, terms, "dv");
    }

    // Every padded size with a head that fills it and heads that do not, in numbers of 16 bytes and not.
    [TestCase(1, 1, 1)]
    [TestCase(2, 1, 7)]
    [TestCase(4, 2, 8)]
    [TestCase(3, 3, 32)]
    [TestCase(2, 1, 33)]
    [TestCase(4, 2, 64)]
    [TestCase(2, 1, 80)]
    [TestCase(1, 1, 127)]
    [TestCase(2, 1, 128)]
    [TestCase(2, 1, 200)]
    [TestCase(1, 1, 256)]
    public void MatchesTheReference(int heads, int kvHeads, int headSize) =>
        AssertMatchesReference(Case(Layout([1], [33, 31, 5], [66, 1]), heads, kvHeads, headSize));

    [TestCase(32, 64)]
    [TestCase(63, 65)]
    [TestCase(64, 128)]
    [TestCase(130, 1)]
    public void MatchesTheReferenceAcrossTiles(int prompt, int completion) =>
        AssertMatchesReference(Case(Layout([prompt, completion, 40], [completion]), 2, 1, 16));

    [TestCase(20)]
    [TestCase(64)]
    [TestCase(128)]
    [TestCase(160)]
    public void MatchesTheReferenceWhereNothingIsAligned(int headSize) =>
        AssertMatchesReference(Case(Layout([40, 30, 3]), 2, 1, headSize), offset: 1);

    [Test]
    [Category("Long")]
    public void MatchesTheReferenceAtManyShapes([Values(1, 2, 3, 13, 31, 48, 65, 96, 129, 255)] int headSize, [Values(1, 2, 5)] int sharing)
    {
        AssertMatchesReference(Case(Layout([200, 150, 90], [1, 1, 1], [64, 64, 64], [31], [129, 33]), 2 * sharing, 2, headSize, seed: headSize));
        AssertMatchesReference(Case(Layout([300]), sharing, 1, headSize, seed: headSize + 1), offset: 3);
    }

    [Test]
    public void NoSegmentsIsNoWork()
    {
        Assert.That(Forward(Cuda, Case(Layout(), 2, 1, 8)).O, Is.Empty);
        Assert.That(Backward(Cuda, Case(Layout(), 2, 1, 8)).DQ, Is.Empty);
    }

    [Test]
    public void ATokenAloneGivesItsValue()
    {
        var x = Case(Layout([1]), 1, 1, 16);
        Assert.That(Forward(Cuda, x).O, Is.EqualTo(x.V));
        Assert.That(Backward(Cuda, x).DV, Is.EqualTo(x.DO));
    }

    // On this rest cached references, and rewards that are exactly 0 at step 0.
    [TestCase(16)]
    [TestCase(64)]
    [TestCase(72)]
    public void ASequenceHasTheSameBitsInAnyBatch(int headSize)
    {
        const int prompt = 41, chosen = 50, rejected = 21;
        var x = Case(Layout([prompt, chosen, rejected]), 2, 1, headSize);
        var (o, lse) = Forward(Cuda, x);
        var (dq, _, _) = Backward(Cuda, x);
        foreach (var (start, length) in new[] { (prompt, chosen), (prompt + chosen, rejected) })
        {
            var completion = Enumerable.Range(start, length).ToArray();
            var sequence = Enumerable.Range(0, prompt).Concat(completion).ToArray();
            // In the other batch the sequence is one plain segment, behind others that copy some of its tokens.
            int[] before = [.. Enumerable.Range(3, 30), .. completion[..5]];
            var y = x.Gather(Layout([30, 3, 2], [sequence.Length], [7]), [.. before, .. sequence, .. Enumerable.Range(9, 7)]);
            var there = Enumerable.Range(before.Length, sequence.Length).ToArray();
            var (otherO, otherLse) = Forward(Cuda, y);
            AssertSameBits(AttentionCase.Rows(otherO, x.LdO, there), AttentionCase.Rows(o, x.LdO, sequence));
            AssertSameBits(y.LseRows(otherLse, there), x.LseRows(lse, sequence));
            AssertSameBits(AttentionCase.Rows(Backward(Cuda, y).DQ, x.LdQ, there), AttentionCase.Rows(dq, x.LdQ, sequence));
        }
    }

    [Test]
    public void AGroupsGradientsHaveTheSameBitsInAnyBatch()
    {
        int[] group = [40, 30, 67, 5];
        var x = Case(Layout([20, 5], group, [9]), 4, 2, 16);
        var (dq, dk, dv) = Backward(Cuda, x);
        var tokens = Enumerable.Range(25, group.Sum()).ToArray();
        var alone = Backward(Cuda, x.Gather(Layout(group), tokens));
        AssertSameBits(alone.DQ, AttentionCase.Rows(dq, x.LdQ, tokens));
        AssertSameBits(alone.DK, AttentionCase.Rows(dk, x.LdK, tokens));
        AssertSameBits(alone.DV, AttentionCase.Rows(dv, x.LdV, tokens));
    }

    [TestCase(0)]
    [TestCase(30)]
    [TestCase(65)]
    public void ALaterTokenReachesNoEarlierOne(int poisoned)
    {
        var x = Case(Layout([40, 30]), 2, 1, 8);
        var (o, lse) = Forward(Cuda, x);
        var (dq, _, _) = Backward(Cuda, x);
        x.K.AsSpan(poisoned * x.LdK, x.LdK).Fill(Real.NaN);
        x.V.AsSpan(poisoned * x.LdV, x.LdV).Fill(Real.NaN);
        var (poisonedO, poisonedLse) = Forward(Cuda, x);
        var earlier = Enumerable.Range(0, poisoned).ToArray();
        AssertSameBits(AttentionCase.Rows(poisonedO, x.LdO, earlier), AttentionCase.Rows(o, x.LdO, earlier));
        AssertSameBits(x.LseRows(poisonedLse, earlier), x.LseRows(lse, earlier));
        AssertSameBits(AttentionCase.Rows(Backward(Cuda, x).DQ, x.LdQ, earlier), AttentionCase.Rows(dq, x.LdQ, earlier));
        Assert.That(AttentionCase.Rows(poisonedO, x.LdO, Enumerable.Range(poisoned, 70 - poisoned)), Is.All.NaN);
    }

    // The other way round in the backward: a query gives nothing to keys behind it.
    [TestCase(5)]
    [TestCase(34)]
    public void AnEarlierQueryReachesNoLaterKey(int poisoned)
    {
        var x = Case(Layout([70]), 2, 1, 8);
        var (_, dk, dv) = Backward(Cuda, x);
        x.DO.AsSpan(poisoned * x.LdO, x.LdO).Fill(Real.NaN);
        var (_, poisonedDk, poisonedDv) = Backward(Cuda, x);
        var later = Enumerable.Range(poisoned + 1, 69 - poisoned).ToArray();
        AssertSameBits(AttentionCase.Rows(poisonedDk, x.LdK, later), AttentionCase.Rows(dk, x.LdK, later));
        AssertSameBits(AttentionCase.Rows(poisonedDv, x.LdV, later), AttentionCase.Rows(dv, x.LdV, later));
        Assert.That(AttentionCase.Rows(poisonedDv, x.LdV, Enumerable.Range(0, poisoned + 1)), Is.All.NaN);
    }

    [Test]
    public void HugeScoresStayFinite()
    {
        var x = Case(Layout([70, 40]), 2, 1, 16, magnitude: 100);
        Assert.That(Forward(Cuda, x).Lse.Max(), Is.GreaterThan(1e4));
        AssertClose(Forward(Cuda, x).O, x.Forward(reference: true).O, terms: 20_000, "o"); // scores of 1e4 have errors of 1e4 ulp
        var (dq, dk, dv) = Backward(Cuda, x);
        Assert.That(dq.Concat(dk).Concat(dv), Is.All.Matches<Real>(Real.IsFinite));
    }

    // The layers of a step share one upload; another layout, or another step, has its own.
    [Test]
    public void WorkListsFollowTheirLayoutAndScope()
    {
        var (x, y) = (Case(Layout([40]), 1, 1, 8), Case(Layout([3], [50]), 1, 1, 8));
        for (var step = 0; step < 2; step++)
        {
            using var scope = new MemoryScope(Cuda);
            foreach (var layer in new[] { x, x, y, x })
            {
                var terms = layer.Layout.LongestSequence + layer.HeadSize;
                AssertClose(ForwardInScope(Cuda, layer).O, layer.Forward(reference: true).O, terms, "o");
                AssertClose(BackwardInScope(Cuda, layer).DK, layer.Backward(reference: true).DK, terms, "dk");
            }
        }
    }

    [Test]
    public void HeadsThatNoKernelHoldsAreRefused()
    {
        var cuda = Cuda;
        Assert.That(() => Forward(cuda, Case(Layout([3]), 1, 1, 257)), Throws.ArgumentException.With.Message.Contains("at most 256"));
        Assert.That(() => Forward(cuda, Case(Layout([3]), 3, 2, 8)), Throws.ArgumentException.With.Message.Contains("evenly"));
    }
}
