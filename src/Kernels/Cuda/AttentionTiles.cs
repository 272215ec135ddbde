namespace TinyDpo.Kernels;

/// <summary>
/// The work of the attention kernels, a row of integers for each block and head: which tokens a block owns and which it streams past them.
/// The longest stand first, so that none starts when the others end.
/// </summary>
internal static class AttentionTiles
{
    /// <summary>Queries that a block owns.</summary>
    public const int QueryRows = 64;

    /// <summary>Integers of a tile of queries: 32 bytes, one sector.</summary>
    public const int QueryFields = 8;

    /// <summary>Integers of a tile of keys.</summary>
    public const int KeyFields = 4;

    /// <summary>
    /// Tiles of queries, none across two segments: (first token, tokens, first token and length of the prefix, position of the first token).
    /// </summary>
    /// <returns>The fields, and the number of keys that the tiles see, added up.</returns>
    public static (int[] Fields, long Seen) Queries(SegmentLayout layout)
    {
        var tiles = new List<(int Token, int Rows, Segment Segment, int Position)>();
        foreach (var segment in layout.Segments)
        {
            for (var i = 0; i < segment.Length; i += QueryRows)
            {
                tiles.Add((segment.Start + i, Math.Min(QueryRows, segment.Length - i), segment, segment.PrefixLength + i));
            }
        }
        return (
            [.. tiles.OrderByDescending(static tile => tile.Position + tile.Rows).SelectMany(static tile => (int[])[
                tile.Token, tile.Rows, tile.Segment.PrefixLength > 0 ? tile.Segment.PrefixStart : 0, tile.Segment.PrefixLength, tile.Position,
                0, 0, 0])],
            tiles.Sum(static tile => (long)tile.Position + tile.Rows));
    }

    /// <summary>
    /// Tiles of keys, none across two segments: (first token, tokens, end of the tokens that see them, 0). A root is seen by the rest of
    /// itself and by all its dependents, which follow it directly; a dependent by the rest of itself. Either way it is one run of tokens.
    /// </summary>
    /// <param name="layout">The segments.</param>
    /// <param name="rows">Keys that a block owns.</param>
    /// <returns>The fields, and the number of queries that see the tiles, added up.</returns>
    public static (int[] Fields, long Seen) Keys(SegmentLayout layout, int rows)
    {
        var tiles = new List<(int Token, int Rows, int End)>();
        for (var group = 0; group < layout.Groups; group++)
        {
            var members = layout.Segments[layout.GroupStarts[group]..layout.GroupStarts[group + 1]];
            foreach (var segment in members)
            {
                var last = segment.PrefixLength == 0 ? members[^1] : segment;
                for (var i = 0; i < segment.Length; i += rows)
                {
                    tiles.Add((segment.Start + i, Math.Min(rows, segment.Length - i), last.Start + last.Length));
                }
            }
        }
        return (
            [.. tiles.OrderByDescending(static tile => tile.End - tile.Token).SelectMany(static tile => (int[])[
                tile.Token, tile.Rows, tile.End, 0])],
            tiles.Sum(static tile => (long)tile.End - tile.Token));
    }
}
