namespace TinyDpo.Dpo;

/// <summary>Cuts a batch into runs of consecutive examples that fit a budget of tokens, so that memory has a bound.</summary>
internal static class MicroBatches
{
    /// <param name="batch">Indices of examples.</param>
    /// <param name="tokens">Tokens that an example takes.</param>
    /// <param name="budget">The most tokens of a micro-batch; an example larger than it goes alone.</param>
    public static IEnumerable<int[]> Split(IReadOnlyList<int> batch, Func<int, int> tokens, int budget)
    {
        var current = new List<int>();
        var used = 0;
        foreach (var example in batch)
        {
            var size = tokens(example);
            if (current.Count > 0 && used + size > budget)
            {
                yield return [.. current];
                current.Clear();
                used = 0;
            }
            current.Add(example);
            used += size;
        }
        if (current.Count > 0)
        {
            yield return [.. current];
        }
    }
}
