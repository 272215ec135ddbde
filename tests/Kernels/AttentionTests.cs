using System.Runtime.InteropServices;
using FsCheck;
using FsCheck.Fluent;
using TinyDpo.Kernels;

namespace TinyDpo.Tests.Kernels;

public class AttentionTests
{
    private static readonly double Ulp = Real.BitIncrement(1) - 1;

    /// <summary>A layout of groups, each given as the length of its root and those of its dependents.</summary>
    internal static SegmentLayout Layout(params int[][] groups)
    {
        var segments = new List<Segment>();
        var token = 0;
        foreach (var lengths in groups)
        {
            var root = token;
            for (var i = 0; i < lengths.Length; i++)
            {
                segments.Add(i == 0 ? new Segment(0, 0, token, lengths[i]) : new Segment(root, lengths[0], token, lengths[i]));
                token += lengths[i];
            }
        }
        return SegmentLayout.Validate(segments.ToArray(), token);
    }

    private static AttentionCase Case(SegmentLayout layout, int heads = 4, int kvHeads = 2, int headSize = 16, int gap = 3, int seed = 1,
        double magnitude = 1, int? window = null) =>
        new AttentionCase { Layout = layout, Heads = heads, KvHeads = kvHeads, HeadSize = headSize, Gap = gap, Window = window }.Fill(seed, magnitude);

    /// <summary>Equal within a few ulp for every term of the longest sum, relative to the largest number about.</summary>
    internal static void AssertClose(Real[] actual, Real[] expected, int terms, string what)
    {
        Assert.That(actual, Has.Length.EqualTo(expected.Length));
        var size = expected.Select(x => Math.Abs((double)x)).Where(x => x != AttentionCase.Untouched).Append(1).Max();
        for (var i = 0; i < expected.Length; i++)
        {
            if (!(Math.Abs((double)actual[i] - expected[i]) <= 4 * Ulp * terms * size))
            {
                Assert.Fail($"{what}[{i}] is {actual[i]}, should be {expected[i]}");
            }
        }
    }

    internal static void AssertSameBits(Real[] actual, Real[] expected) =>
        Assert.That(MemoryMarshal.AsBytes<Real>(actual).SequenceEqual(MemoryMarshal.AsBytes<Real>(expected)), Is.True, "the bits differ");

    private static void AssertMatchesReference(AttentionCase x, bool accumulate)
    {
        var terms = x.Layout.LongestSequence + x.HeadSize;
        var (o, lse) = x.Forward(threads: 2);
        var (expectedO, expectedLse) = x.Forward(reference: true);
        AssertClose(o, expectedO, terms, "o");
        AssertClose(lse, expectedLse, terms, "lse");
        var (dq, dk, dv) = x.Backward(threads: 2, accumulate: accumulate);
        var (expectedDq, expectedDk, expectedDv) = x.Backward(reference: true, accumulate: accumulate);
        AssertClose(dq, expectedDq, terms, "dq");
        AssertClose(dk, expectedDk, terms, "dk");
        AssertClose(dv, expectedDv, terms, "dv");
    }

    [TestCase(1, 1, 1)]
    [TestCase(4, 4, 8)]
    [TestCase(4, 2, 16)]
    [TestCase(3, 1, 32)]
    [TestCase(2, 2, 64)]
    [TestCase(2, 1, 80)]
    [TestCase(2, 1, 13)]
    public void MatchesTheReferenceAcrossBlocks(int heads, int kvHeads, int headSize) =>
        AssertMatchesReference(Case(Layout([1], [70, 60, 5, 131], [64, 64], [1, 1, 1], [200]), heads, kvHeads, headSize),
            accumulate: heads == 4);

    // Windows of one key, within a block, of a block and around it, and of several; headSize 13 has padding.
    [TestCase(1, 16)]
    [TestCase(7, 13)]
    [TestCase(63, 16)]
    [TestCase(64, 8)]
    [TestCase(65, 32)]
    [TestCase(150, 16)]
    public void AWindowMatchesTheReferenceAcrossBlocks(int window, int headSize) =>
        AssertMatchesReference(Case(Layout([1], [70, 60, 5, 131], [64, 64], [3, 1, 9], [200]), headSize: headSize, window: window), accumulate: window == 7);

    [Test]
    public void MatchesTheReferenceOnRandomShapes() => Prop.ForAll<int>(seed =>
    {
        var drawn = 0;
        int Draw(int from, int to) => from + (int)(Philox.Uniform((ulong)seed, RandomPurpose.Test, 100, 0, drawn++) * (to - from + 1));
        T[] Some<T>(Func<T> draw) => [.. Enumerable.Range(0, Draw(1, 4)).Select(_ => draw())];
        var groups = Some(() => Some(() => Draw(1, 40)));
        var kvHeads = Draw(1, 3);
        AssertMatchesReference(Case(Layout(groups), kvHeads * Draw(1, 3), kvHeads, Draw(1, 20), Draw(0, 5), seed, window: Draw(0, 1) == 0 ? null : Draw(1, 90)),
            accumulate: Draw(0, 1) == 1);
    }).QuickCheckThrowOnFailure();

    [Test]
    public void NoSegmentsIsNoWork()
    {
        var x = Case(Layout());
        Assert.That(x.Forward().O, Is.Empty);
        Assert.That(x.Backward(accumulate: true).DQ, Is.Empty);
    }

    [Test]
    public void ATokenAloneGivesItsValue()
    {
        var x = Case(Layout([1]), heads: 1, kvHeads: 1, gap: 0);
        Assert.That(x.Forward().O, Is.EqualTo(x.V));
        var (dq, dk, dv) = x.Backward();
        Assert.That(dv, Is.EqualTo(x.DO));
        AssertClose(dq, new Real[16], 1, "dq");
        AssertClose(dk, new Real[16], 1, "dk");
    }

    // The contract on which a cached reference and exact zero rewards rest: these compare bits.
    [TestCase(16, 1)]
    [TestCase(16, 3)]
    [TestCase(11, 2)]
    public void ASequenceHasTheSameBitsInAnyBatch(int headSize, int threads)
    {
        const int prompt = 83, chosen = 90, rejected = 21;
        var x = Case(Layout([prompt, chosen, rejected]), headSize: headSize);
        var (o, lse) = x.Forward();
        var (dq, _, _) = x.Backward();
        foreach (var (start, length) in new[] { (prompt, chosen), (prompt + chosen, rejected) })
        {
            var completion = Enumerable.Range(start, length).ToArray();
            var sequence = Enumerable.Range(0, prompt).Concat(completion).ToArray();
            // In the other batch the sequence is one plain segment, behind others that copy some of its tokens.
            int[] before = [.. Enumerable.Range(3, 50), .. completion[..5]];
            var y = x.Gather(Layout([50, 3, 2], [sequence.Length], [7]), [.. before, .. sequence, .. Enumerable.Range(9, 7)]);
            var there = Enumerable.Range(before.Length, sequence.Length).ToArray();
            var (otherO, otherLse) = y.Forward(threads);
            AssertSameBits(AttentionCase.Rows(otherO, x.LdO, there), AttentionCase.Rows(o, x.LdO, sequence));
            AssertSameBits(y.LseRows(otherLse, there), x.LseRows(lse, sequence));
            AssertSameBits(AttentionCase.Rows(y.Backward(threads).DQ, x.LdQ, there), AttentionCase.Rows(dq, x.LdQ, sequence));
        }
    }

    [Test]
    public void GradientsHaveTheSameBitsForAnyThreadCountAndBatch([Values] bool accumulate)
    {
        int[] group = [40, 30, 77, 5];
        var x = Case(Layout([20, 5], group, [.. group.Reverse()], [9]));
        var alone = x.Backward(threads: 1, accumulate: accumulate);
        var many = x.Backward(threads: 4, accumulate: accumulate);
        AssertSameBits(many.DQ, alone.DQ);
        AssertSameBits(many.DK, alone.DK);
        AssertSameBits(many.DV, alone.DV);
        if (!accumulate)
        {
            var tokens = Enumerable.Range(25, group.Sum()).ToArray();
            var (dq, dk, dv) = x.Gather(Layout(group), tokens).Backward();
            AssertSameBits(dq, AttentionCase.Rows(alone.DQ, x.LdQ, tokens));
            AssertSameBits(dk, AttentionCase.Rows(alone.DK, x.LdK, tokens));
            AssertSameBits(dv, AttentionCase.Rows(alone.DV, x.LdV, tokens));
        }
    }

    /// <summary>What is left out of a root changes no bit of what is wanted, where no gradient comes back to it.</summary>
    [Test]
    public void ARootWhoseLastRowAloneAsksGivesTheSameBits([Values] bool accumulate, [Values(null, 30)] int? window)
    {
        int[][] groups = [[70, 30, 5], [40], [1, 20, 9]];
        var whole = Case(Layout(groups), headSize: 32, window: window);
        var asking = whole.Gather(whole.Layout.AskingLastOfRoots(), Enumerable.Range(0, whole.Tokens));
        var silent = whole.Layout.Segments.ToArray().Where(static s => s.PrefixLength == 0).SelectMany(static s => Enumerable.Range(s.Start, s.Length - 1)).ToArray();
        foreach (var row in silent)
        {
            whole.DO.AsSpan(row * whole.LdO, whole.LdO).Clear();
            asking.DO.AsSpan(row * whole.LdO, whole.LdO).Clear();
        }
        var rows = Enumerable.Range(0, whole.Tokens).Except(silent).ToArray();
        AssertSameBits(AttentionCase.Rows(asking.Forward().O, whole.LdO, rows), AttentionCase.Rows(whole.Forward().O, whole.LdO, rows));
        AssertSameBits(asking.LseRows(asking.Forward().Lse, rows), whole.LseRows(whole.Forward().Lse, rows));
        Assert.That(AttentionCase.Rows(asking.Forward().O, whole.LdO, silent), Is.All.EqualTo((Real)AttentionCase.Untouched));
        var (actual, expected) = (asking.Backward(2, accumulate: accumulate), whole.Backward(accumulate: accumulate));
        AssertSameBits(actual.DQ, expected.DQ);
        AssertSameBits(actual.DK, expected.DK);
        AssertSameBits(actual.DV, expected.DV);
    }

    [TestCase(0)]
    [TestCase(30)]
    [TestCase(65)]
    public void ALaterTokenReachesNoEarlierOne(int poisoned)
    {
        var x = Case(Layout([40, 30]), gap: 0);
        var (o, lse) = x.Forward();
        x.K.AsSpan(poisoned * x.LdK, x.LdK).Fill(Real.NaN);
        x.V.AsSpan(poisoned * x.LdV, x.LdV).Fill(Real.NaN);
        var (poisonedO, poisonedLse) = x.Forward();
        var earlier = Enumerable.Range(0, poisoned).ToArray();
        AssertSameBits(AttentionCase.Rows(poisonedO, x.LdO, earlier), AttentionCase.Rows(o, x.LdO, earlier));
        AssertSameBits(x.LseRows(poisonedLse, earlier), x.LseRows(lse, earlier));
        Assert.That(AttentionCase.Rows(poisonedO, x.LdO, Enumerable.Range(poisoned, 70 - poisoned)), Is.All.NaN);
    }

    [TestCase(90)]
    [TestCase(1000)]
    public void AWindowThatHidesNothingChangesNoBit(int window)
    {
        var layout = Layout([40, 50, 13], [77]);
        var (x, y) = (Case(layout), Case(layout, window: window));
        AssertSameBits(y.Forward().O, x.Forward().O);
        AssertSameBits(y.Forward().Lse, x.Forward().Lse);
        var (actual, expected) = (y.Backward(), x.Backward());
        AssertSameBits(actual.DQ, expected.DQ);
        AssertSameBits(actual.DK, expected.DK);
        AssertSameBits(actual.DV, expected.DV);
    }

    /// <summary>A key beyond the window counts for nothing, not even as 0 x NaN; and a sequence has its bits in any batch.</summary>
    [TestCase(20)]
    [TestCase(64)]
    [TestCase(100)]
    public void WhatLiesBeforeTheWindowReachesNoRow(int window)
    {
        const int poisoned = 30;
        var x = Case(Layout([40, 130]), gap: 0, window: window);
        var (o, lse) = x.Forward();
        var dq = x.Backward().DQ;
        x.K.AsSpan(poisoned * x.LdK, x.LdK).Fill(Real.NaN);
        x.V.AsSpan(poisoned * x.LdV, x.LdV).Fill(Real.NaN);
        var (poisonedO, poisonedLse) = x.Forward();
        var poisonedDq = x.Backward().DQ;
        int[] unseen = [.. Enumerable.Range(0, poisoned), .. Enumerable.Range(poisoned + window, 170 - poisoned - window)];
        AssertSameBits(AttentionCase.Rows(poisonedO, x.LdO, unseen), AttentionCase.Rows(o, x.LdO, unseen));
        AssertSameBits(x.LseRows(poisonedLse, unseen), x.LseRows(lse, unseen));
        AssertSameBits(AttentionCase.Rows(poisonedDq, x.LdQ, unseen), AttentionCase.Rows(dq, x.LdQ, unseen));
        Assert.That(AttentionCase.Rows(poisonedO, x.LdO, Enumerable.Range(poisoned, window)), Is.All.NaN);
    }

    [TestCase(1)]
    [TestCase(50)]
    [TestCase(70)]
    public void AWindowedSequenceHasTheSameBitsInAnyBatch(int window)
    {
        const int prompt = 83, completion = 90;
        var x = Case(Layout([prompt, completion]), window: window);
        var y = x.Gather(Layout([9], [prompt + completion]), [.. Enumerable.Range(5, 9), .. Enumerable.Range(0, prompt + completion)]);
        int[] here = [.. Enumerable.Range(0, prompt + completion)], there = [.. here.Select(static t => t + 9)];
        AssertSameBits(AttentionCase.Rows(y.Forward(3).O, x.LdO, there), AttentionCase.Rows(x.Forward().O, x.LdO, here));
        AssertSameBits(AttentionCase.Rows(y.Backward(3).DQ, x.LdQ, there), AttentionCase.Rows(x.Backward().DQ, x.LdQ, here));
    }

    [TestCase(0, 5, null, 15)]
    [TestCase(3, 5, null, 9)]
    [TestCase(0, 5, 2, 9)]
    [TestCase(1, 4, 3, 8)]
    [TestCase(6, 8, 3, 6)]
    [TestCase(0, 3, 3, 6)]
    [TestCase(2, 2, 1, 0)]
    public void TheVisibleKeysAreCounted(int from, int to, int? window, int expected) =>
        Assert.That(new AttentionShape(1, 1, 2, window).VisibleKeys(from, to), Is.EqualTo(expected));

    [Test]
    public void HugeScoresStayFinite()
    {
        var x = Case(Layout([90, 80]), gap: 0, magnitude: 100);
        Assert.That(x.Forward().Lse.Max(), Is.GreaterThan(1e4));
        AssertClose(x.Forward().O, x.Forward(reference: true).O, terms: 20_000, "o"); // scores of 1e4 have errors of 1e4 ulp
        var (dq, dk, dv) = x.Backward();
        Assert.That(dq.Concat(dk).Concat(dv), Is.All.Matches<Real>(Real.IsFinite));
    }

#if DOUBLE
    [TestCase(2, 1, 5, null)]
    [TestCase(4, 2, 3, null)]
    [TestCase(2, 1, 4, 3)]
    public void GradientsMatchFiniteDifferences(int heads, int kvHeads, int headSize, int? window)
    {
        const double step = 1e-5;
        var x = Case(Layout([3, 4, 2, 1], [2], [1, 5]), heads, kvHeads, headSize, gap: 0, window: window);
        var (dq, dk, dv) = x.Backward();
        foreach (var (operand, gradient) in new[] { (x.Q, dq), (x.K, dk), (x.V, dv) })
        {
            for (var i = 0; i < operand.Length; i++)
            {
                var centre = operand[i];
                operand[i] = centre + step;
                var above = Loss();
                operand[i] = centre - step;
                var below = Loss();
                operand[i] = centre;
                Assert.That(gradient[i], Is.EqualTo((above - below) / (2 * step)).Within(1e-6 * gradient.Max(Math.Abs)));
            }
        }

        double Loss() => x.Forward().O.Zip(x.DO, (o, cotangent) => o * cotangent).Sum();
    }
#endif

    [TestCase(4, 2, 16, 0, null)]
    [TestCase(3, 1, 11, 4, null)]
    [TestCase(2, 2, 8, 1, null)]
    [TestCase(4, 2, 16, 0, 50)]
    [TestCase(3, 1, 11, 4, 64)]
    [TestCase(2, 1, 8, 1, 1)]
    public unsafe void DecodingGivesEachRowTheSegmentKernelsBits(int heads, int kvHeads, int headSize, int gap, int? window)
    {
        // The last rows are a tile's eight, four, two and one.
        const int tokens = 143, capacity = 192;
        var x = Case(Layout([tokens]), heads, kvHeads, headSize, gap, window: window);
        // A sequence for each prefix of the tokens, the first with nothing cached.
        var lengths = Enumerable.Range(0, tokens + 1).ToArray();
        var (keys, values) = (new Real[lengths.Length * capacity * x.LdK], new Real[lengths.Length * capacity * x.LdV]);
        var keyBlocks = new Real[keys.Length];
        Array.Fill(keys, Real.NaN);
        Array.Fill(keyBlocks, Real.NaN);
        Array.Fill(values, Real.NaN);
        for (var s = 0; s < lengths.Length; s++)
        {
            x.K.AsSpan(0, s * x.LdK).CopyTo(keys.AsSpan(s * capacity * x.LdK));
            x.V.AsSpan(0, s * x.LdV).CopyTo(values.AsSpan(s * capacity * x.LdV));
        }
        Real[] queries = [.. new Real[x.LdQ], .. x.Q];
        var (decoded, reference) = (new Real[lengths.Length * x.LdO], new Real[lengths.Length * x.LdO]);
        Array.Fill(decoded, AttentionCase.Untouched);
        Array.Fill(reference, AttentionCase.Untouched);
        using var team = new WorkerTeam(2);
        fixed (int* n = lengths)
        fixed (Real* q = queries, k = keys, blocks = keyBlocks, v = values, o = decoded, expected = reference)
        {
            for (var s = 0; s < lengths.Length; s++)
            {
                for (var place = 0; place < lengths[s]; place++)
                {
                    var sequence = (nint)s * capacity * x.LdK;
                    DecodeAttention.Append(blocks + sequence, place, k + sequence + (place * x.LdK), x.LdK);
                }
            }
            DecodeAttention.Forward(team, lengths.Length, n, heads, kvHeads, headSize, x.Scale, q, x.LdQ,
                blocks, x.LdK, (nint)capacity * x.LdK, v, x.LdV, (nint)capacity * x.LdV, o, x.LdO, window);
            DecodeAttention.ForwardReference(lengths.Length, n, heads, kvHeads, headSize, x.Scale, q, x.LdQ,
                k, x.LdK, (nint)capacity * x.LdK, v, x.LdV, (nint)capacity * x.LdV, expected, x.LdO, window);
        }
        AssertSameBits(decoded[x.LdO..], x.Forward().O);
        Assert.That(decoded[..(heads * headSize)], Is.All.Zero);
        AssertClose(decoded, reference, tokens + headSize, "o");
    }

    [TestCase("1 0 0 5; 0 0 5 4", 10, "hold 9 tokens, the batch 10")]
    [TestCase("0 0 0 5; 0 0 6 4", 10, "should start at token 5")]
    [TestCase("0 0 0 5; 0 0 5 0", 5, "is empty")]
    [TestCase("0 5 0 5", 5, "no root stands before it")]
    [TestCase("0 0 0 5; 0 4 5 5", 10, "nearest root")]
    [TestCase("0 0 0 5; 0 0 5 5; 0 5 10 2", 12, "nearest root")]
    public void AWrongLayoutIsRefused(string text, int tokens, string fault)
    {
        var segments = text.Split("; ").Select(s => s.Split(' ').Select(int.Parse).ToArray())
            .Select(n => new Segment(n[0], n[1], n[2], n[3]));
        Assert.That(() => SegmentLayout.Validate(segments.ToArray(), tokens), Throws.ArgumentException.With.Message.Contains(fault));
    }

    [Test]
    public void ALayoutKnowsItsGroups()
    {
        var layout = Layout([5, 2, 3], [4], [6, 1]);
        Assert.That(layout.GroupStarts.ToArray(), Is.EqualTo(new[] { 0, 3, 4, 6 }));
        Assert.That((layout.Groups, layout.Tokens, layout.LongestSequence), Is.EqualTo((3, 21, 8)));
    }

    [Test]
    public void HeadsThatDoNotShareEvenlyAreRefused() =>
        Assert.That(() => Case(Layout([3]), heads: 3, kvHeads: 2).Forward(), Throws.ArgumentException);
}
