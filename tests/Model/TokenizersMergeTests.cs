using FsCheck;
using FsCheck.Fluent;
using TinyDpo.Models;

namespace TinyDpo.Tests;

public class TokenizersMergeTests
{
    // Rules over few pieces, with ties of rank and results that take part in further rules.
    private static readonly MergeTable Table = new([
        new(0, 1, 4, 0), new(1, 0, 5, 0), new(1, 1, 6, 1), new(4, 4, 7, 2), new(2, 2, 8, 3), new(8, 2, 9, 3), new(6, 5, 10, 4),
        new(7, 3, 11, 5), new(3, 7, 12, 1),
    ]);

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

    private static int[] Merged(IEnumerable<int> symbols, bool queued)
    {
        var row = symbols.ToArray();
        return row[..(queued ? Table.ApplyQueued(row) : Table.ApplyPlainly(row))];
    }
}
