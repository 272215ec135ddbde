namespace TinyDpo.Kernels;

/// <summary>
/// A run of tokens on the packed axis. Token Start + i attends to all of the prefix [PrefixStart, PrefixStart + PrefixLength) and to
/// [Start, Start + i]; its position in its sequence is PrefixLength + i. Without a prefix (PrefixLength 0) PrefixStart is ignored.
/// </summary>
public readonly record struct Segment(int PrefixStart, int PrefixLength, int Start, int Length)
{
    /// <summary>The first row that asks: see <see cref="SegmentLayout.RootsAskLast"/>.</summary>
    internal int FirstAsking(bool rootsAskLast) => rootsAskLast && PrefixLength == 0 ? Length - 1 : 0;
}

/// <summary>
/// A list of segments that has been checked once, so that kernels may trust it: the segments tile [0, tokens) in order, none is empty, and
/// a prefix is exactly one root (a segment without a prefix), which its dependents follow directly. A group is [root, dependents...].
/// </summary>
public sealed class SegmentLayout
{
    private readonly Segment[] _segments;
    private readonly int[] _groupStarts;

    private SegmentLayout(Segment[] segments, int[] groupStarts, int tokens)
    {
        _segments = segments;
        _groupStarts = groupStarts;
        Tokens = tokens;
        foreach (var segment in segments)
        {
            LongestSequence = Math.Max(LongestSequence, segment.PrefixLength + segment.Length);
        }
    }

    public ReadOnlySpan<Segment> Segments => _segments;

    /// <summary>
    /// Whether of a root only the last row asks. Attention may then leave out what it gives the root's other rows: nobody reads that, and no
    /// gradient comes back to it.
    /// </summary>
    public bool RootsAskLast { get; private init; }

    /// <summary>Group g holds the segments GroupStarts[g] to GroupStarts[g + 1] - 1, the root first; one entry more than groups.</summary>
    public ReadOnlySpan<int> GroupStarts => _groupStarts;

    public int Groups => _groupStarts.Length - 1;

    public int Tokens { get; }

    /// <summary>The most tokens any token's sequence holds: prefix and segment together.</summary>
    public int LongestSequence { get; }

    /// <exception cref="ArgumentException">A segment breaks one of the rules above; the message names it.</exception>
    public static SegmentLayout Validate(ReadOnlySpan<Segment> segments, int tokens)
    {
        var groupStarts = new List<int>();
        long end = 0;
        for (var i = 0; i < segments.Length; i++)
        {
            var segment = segments[i];
            Require(segment.Length > 0, i, segment, "is empty");
            Require(segment.Start == end, i, segment, $"should start at token {end}");
            if (segment.PrefixLength == 0)
            {
                groupStarts.Add(i);
            }
            else
            {
                Require(groupStarts.Count > 0, i, segment, "has a prefix, but no root stands before it");
                var root = segments[groupStarts[^1]];
                Require((segment.PrefixStart, segment.PrefixLength) == (root.Start, root.Length), i, segment,
                    $"should have the nearest root before it as its prefix, {root.Length} tokens from {root.Start}");
            }
            end += segment.Length;
        }
        if (end != tokens)
        {
            throw new ArgumentException($"The segments hold {end} tokens, the batch {tokens}.");
        }
        groupStarts.Add(segments.Length);
        return new SegmentLayout(segments.ToArray(), [.. groupStarts], tokens);
    }

    /// <summary>The same segments with <see cref="RootsAskLast"/>.</summary>
    public SegmentLayout AskingLastOfRoots() => new(_segments, _groupStarts, Tokens) { RootsAskLast = true };

    private static void Require(bool holds, int index, Segment segment, string fault)
    {
        if (!holds)
        {
            throw new ArgumentException($"Segment {index} ({segment}) {fault}.");
        }
    }
}
