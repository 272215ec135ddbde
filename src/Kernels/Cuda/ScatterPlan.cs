namespace TinyDpo.Kernels;

/// <summary>
/// An index sorted by what it names, for a scatter-add that needs no atomics: segment s adds rows order[starts[s] .. starts[s + 1]) of the
/// source, in ascending order, to row rows[s] of the table.
/// </summary>
/// <param name="Segments">Rows of the table that are written.</param>
/// <param name="Values">starts [Segments + 1], then rows [Segments], then order [the index's length].</param>
internal sealed record ScatterPlan(int Segments, int[] Values)
{
    /// <param name="index">For each row of the source the row of the table it is added to, in [0, tableRows).</param>
    /// <param name="tableRows">Rows of the table.</param>
    /// <param name="everyRow">Whether rows that the index does not name have an (empty) segment too.</param>
    public static ScatterPlan Of(ReadOnlySpan<int> index, int tableRows, bool everyRow)
    {
        var counts = new int[tableRows];
        foreach (var row in index)
        {
            counts[row]++;
        }
        var segments = tableRows;
        if (!everyRow)
        {
            segments = 0;
            foreach (var count in counts)
            {
                segments += count > 0 ? 1 : 0;
            }
        }
        var values = new int[(2 * segments) + 1 + index.Length];
        var rows = values.AsSpan(segments + 1, segments);
        var order = values.AsSpan((2 * segments) + 1);

        // Counting sort, which keeps equal ones in their order: counts become each row's next place.
        var place = 0;
        var segment = 0;
        for (var row = 0; row < tableRows; row++)
        {
            var count = counts[row];
            counts[row] = place;
            if (everyRow || count > 0)
            {
                values[segment] = place;
                rows[segment++] = row;
            }
            place += count;
        }
        values[segments] = place;
        for (var i = 0; i < index.Length; i++)
        {
            order[counts[index[i]]++] = i;
        }
        return new ScatterPlan(segments, values);
    }
}
