using FsCheck;
using FsCheck.Fluent;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Tests;

public class TokenizersMergeTests
{
    // Rules over few pieces, with ties of rank and results that take part in further rules.
    private static readonly Merge[] s_rules =
    [
        new(0, 1, 4, 0), new(1, 0, 5, 0), new(1, 1, 6, 1), new(4, 4, 7, 2), new(2, 2, 8, 3), new(8, 2, 9, 3), new(6, 5, 10, 4),
        new(7, 3, 11, 5), new(3, 7, 12, 1),
    ];

    private static readonly MergeTable Table = new(s_rules);

    [Test]
    public void TheQueueMergesAsThePlainLoopDoes() =>
        Prop.ForAll(Gen.Choose(0, 3).ListOf().ToArbitrary(), row => Merged(row, queued: true).SequenceEqual(Merged(row, queued: false)))
            .Check(Config.QuickThrowOnFailure.WithMaxTest(1000).WithEndSize(200));

    [Test]
    public void TheLowestRankMergesFirstAndOfEqualRanksTheLeftmost()
    {
        Assert.That(Merged([0, 1, 0, 1, 1], queued: true), Is.EqualTo(new[] { 7, 1 }));
        Assert.That(Merged([1, 0, 1], queued: true), Is.EqualTo(new[] { 5, 1 }));
        Assert.That(Merged([2, 2, 2], queued: true), Is.EqualTo(new[] { 9 }));
        Assert.That(Merged([], queued: true), Is.Empty);
    }

    /// <summary>
    /// What keeps tokenization near the speed of its disk whatever the text is: a long word costs at most four looks into the table a byte, one
    /// for each pair at the start, three for each merge. Each look puts at most one pair into the queue.
    /// </summary>
    [TestCase("aaaa")]
    [TestCase("random")]
    public void TheWorkOfALongWordGrowsWithItsLengthAlone(string text)
    {
        const int length = 1_000_000;
        var row = Enumerable.Range(0, length).Select(i => text == "aaaa" ? 0 : (int)(4 * Philox.Uniform(1, RandomPurpose.Test, 0, 0, i))).ToArray();
        var looks = new CountingComparer();
        // 0 0 becomes 20, that twice 21 and so on, as a vocabulary has it that saw runs of one letter.
        Merge[] doubling = [new(0, 0, 20, 6), .. Enumerable.Range(0, 12).Select(static i => new Merge(20 + i, 20 + i, 21 + i, 7 + i))];
        var table = new MergeTable([.. s_rules, .. doubling], looks);
        looks.Count = 0;
        Assert.That(table.Apply(row), Is.LessThan(length * 9 / 10), "it merges");
        Assert.That(looks.Count, Is.GreaterThan(length).And.LessThan(4L * length));
    }

    private sealed class CountingComparer : IEqualityComparer<(int Left, int Right)>
    {
        public long Count { get; set; }

        public bool Equals((int Left, int Right) x, (int Left, int Right) y) => x == y;

        public int GetHashCode((int Left, int Right) pair)
        {
            Count++;
            return pair.GetHashCode();
        }
    }

    private static int[] Merged(IEnumerable<int> symbols, bool queued)
    {
        var row = symbols.ToArray();
        return row[..(queued ? Table.ApplyQueued(row) : Table.ApplyPlainly(row))];
    }
}
