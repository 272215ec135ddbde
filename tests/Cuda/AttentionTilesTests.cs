using TinyDpo.Kernels;
using static TinyDpo.Tests.Kernels.AttentionTests;

namespace TinyDpo.Tests;

public class AttentionTilesTests
{
    [Test]
    public void QueriesStandOnceInATileOfTheirSegment()
    {
        var layout = Layout([130, 1, 65], [64], [33, 31]);
        var (fields, seen) = AttentionTiles.Queries(layout);
        var tiles = fields.Chunk(AttentionTiles.QueryFields).ToArray();
        Assert.That(tiles.SelectMany(static t => Enumerable.Range(t[0], t[1])).Order(), Is.EqualTo(Enumerable.Range(0, layout.Tokens)));
        foreach (var tile in tiles)
        {
            var segment = layout.Segments.ToArray().Last(s => s.Start <= tile[0]);
            Assert.That(tile[0] + tile[1], Is.LessThanOrEqualTo(segment.Start + segment.Length));
            Assert.That(tile[2..5], Is.EqualTo(new[] { segment.PrefixStart, segment.PrefixLength, segment.PrefixLength + tile[0] - segment.Start }));
        }
        Assert.That(seen, Is.EqualTo(64 + 128 + 130 + 131 + 194 + 195 + 64 + 33 + 64));
        Assert.That(tiles.Select(static t => t[4] + t[1]), Is.Ordered.Descending);
    }

    [Test]
    public void KeysAreSeenByTheRestOfTheirSegmentAndARootsByItsDependents()
    {
        var (fields, seen) = AttentionTiles.Keys(Layout([70, 10, 20], [65]), rows: 64);
        int[][] expected = [[0, 64, 100, 0], [100, 64, 165, 0], [64, 6, 100, 0], [80, 20, 100, 0], [70, 10, 80, 0], [164, 1, 165, 0]];
        Assert.That(fields.Chunk(AttentionTiles.KeyFields), Is.EqualTo(expected));
        Assert.That(seen, Is.EqualTo(100 + 65 + 36 + 20 + 10 + 1));
    }

    [Test]
    public void NoSegmentsNoTiles()
    {
        Assert.That(AttentionTiles.Queries(Layout()), Is.EqualTo((Array.Empty<int>(), 0L)));
        Assert.That(AttentionTiles.Keys(Layout(), 64), Is.EqualTo((Array.Empty<int>(), 0L)));
    }
}
