namespace TinyDpo.Kernels;

/// <summary>The fewest reads of a table's rows that an index names, where no cache helps: what one request of a warp names twice is read once.</summary>
internal static class NamedRows
{
    private const int Lanes = 32;

    /// <summary>Packs read, where neighbouring lanes take neighbouring packs, row after row.</summary>
    /// <param name="index">The rows.</param>
    /// <param name="packs">Packs of a row, a lane each.</param>
    /// <param name="rowsOfTile">Rows after which lanes start anew.</param>
    public static long Packs(ReadOnlySpan<int> index, int packs, int rowsOfTile)
    {
        if (packs >= Lanes)
        {
            return (long)index.Length * packs;
        }
        var total = 0L;
        for (var from = 0; from < index.Length; from += rowsOfTile)
        {
            var tile = index.Slice(from, Math.Min(rowsOfTile, index.Length - from));
            for (var item = 0; item < tile.Length * packs; item++)
            {
                // Lanes of the same request at the same place of an earlier row.
                var (request, named) = (item / Lanes * Lanes, false);
                for (var other = item - packs; other >= request && !named; other -= packs)
                {
                    named = tile[other / packs] == tile[item / packs];
                }
                total += named ? 0 : 1;
            }
        }
        return total;
    }
}
