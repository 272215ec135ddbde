namespace TinyDpo.Models;

/// <summary>
/// One rule of byte-pair encoding: the pieces <paramref name="Left"/> and <paramref name="Right"/>, side by side, become
/// <paramref name="Result"/>. The lowest rank merges first; among equal ranks the leftmost.
/// </summary>
public readonly record struct Merge(int Left, int Right, int Result, int Rank);

/// <summary>Byte-pair encoding itself (Sennrich et al. 2016): merges a row of piece ids until no rule applies.</summary>
public sealed class MergeTable
{
    // Below this length scanning for the best pair beats keeping a queue.
    private const int ShortRow = 24;

    private readonly Dictionary<(int Left, int Right), (int Rank, int Result)> rules;

    /// <param name="merges">The rules, no pair twice.</param>
    /// <param name="comparer">Of the pairs; null for the default.</param>
    public MergeTable(IReadOnlyList<Merge> merges, IEqualityComparer<(int Left, int Right)>? comparer = null)
    {
        rules = new(merges.Count, comparer);
        foreach (var merge in merges)
        {
            rules.Add((merge.Left, merge.Right), (merge.Rank, merge.Result));
        }
    }

    /// <summary>Merges <paramref name="row"/> in place and returns its new length; what lies beyond is left undefined.</summary>
    public int Apply(Span<int> row) => row.Length <= ShortRow ? ApplyPlainly(row) : ApplyQueued(row);

    /// <summary>The plain loop: finds the best pair of the whole row, merges it, starts again. Quadratic in the row's length.</summary>
    public int ApplyPlainly(Span<int> row)
    {
        var length = row.Length;
        while (true)
        {
            var (bestRank, bestAt, bestResult) = (int.MaxValue, -1, 0);
            for (var i = 0; i + 1 < length; i++)
            {
                if (rules.TryGetValue((row[i], row[i + 1]), out var rule) && rule.Rank < bestRank)
                {
                    (bestRank, bestAt, bestResult) = (rule.Rank, i, rule.Result);
                }
            }
            if (bestAt < 0)
            {
                return length;
            }
            row[bestAt] = bestResult;
            row[(bestAt + 2)..length].CopyTo(row[(bestAt + 1)..]);
            length--;
        }
    }

    /// <summary>The same merges from a queue over a linked list: n log n in the row's length.</summary>
    public int ApplyQueued(Span<int> row)
    {
        const int gone = -1;
        var n = row.Length;
        var next = new int[n];
        var previous = new int[n];
        var queue = new PriorityQueue<(int At, int Left, int Right), (int Rank, int At)>(n);
        for (var i = 0; i < n; i++)
        {
            next[i] = i + 1;
            previous[i] = i - 1;
            Offer(row, i);
        }
        while (queue.TryDequeue(out var pair, out _))
        {
            var (left, right) = (pair.At, next[pair.At]);
            // An entry is stale once either of its pieces has been merged with another neighbour.
            if (right == n || row[left] != pair.Left || row[right] != pair.Right)
            {
                continue;
            }
            row[left] = rules[(pair.Left, pair.Right)].Result;
            row[right] = gone;
            next[left] = next[right];
            if (next[left] < n)
            {
                previous[next[left]] = left;
            }
            Offer(row, left);
            if (previous[left] >= 0)
            {
                Offer(row, previous[left]);
            }
        }
        var length = 0;
        for (var i = 0; i < n; i = next[i])
        {
            row[length++] = row[i];
        }
        return length;

        void Offer(Span<int> row, int at)
        {
            if (next[at] < n && rules.TryGetValue((row[at], row[next[at]]), out var rule))
            {
                queue.Enqueue((at, row[at], row[next[at]]), (rule.Rank, at));
            }
        }
    }
}
