namespace TinyDpo.Dpo;

/// <summary>Cuts a batch into runs of consecutive examples that fit a budget of tokens, so that memory has a bound.</summary>
internal static class MicroBatches
{
    /// <param name="batch">Indices of examples.</param>
    /// <param name="tokens">Tokens that an example takes.</param>
    /// <param name="budget">The most tokens of a micro-batch; an example larger than it goes alone.</param>
    public static IEnumerable<int[]> Split(IReadOnlyList<int> batch, Func<int, int> tokens, int budget) =>
        Of(batch, tokens, budget).Select(static micro => micro.Items);

    /// <summary>The examples themselves, each looked at once, with the index of the first.</summary>
    /// <inheritdoc cref="Split"/>
    public static IEnumerable<(int From, T[] Items)> Of<T>(IEnumerable<T> batch, Func<T, int> tokens, int budget)
    {
        var current = new List<T>();
        var (from, used) = (0, 0);
        foreach (var example in batch)
        {
            var size = tokens(example);
            if (current.Count > 0 && used + size > budget)
            {
                yield return (from, [.. current]);
                from += current.Count;
                current.Clear();
                used = 0;
            }
            current.Add(example);
            used += size;
        }
        if (current.Count > 0)
        {
            yield return (from, [.. current]);
        }
    }
}
