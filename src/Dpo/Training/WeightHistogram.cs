namespace TinyDpo.Dpo;

/// <summary>
/// The histogram of what the DPO gradient weighs each pair with, over beta: sigmoid(-margin), from 0 to 1 in tenths. Each is the share of a
/// step's pairs.
/// </summary>
public static class WeightHistogram
{
    /// <summary>Bins of equal width; the last holds 1 too.</summary>
    public const int Bins = 10;

    /// <summary>A metric a bin, from that of 0 on.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. Enumerable.Range(0, Bins).Select(static i => $"weights/bin{i}")];

    /// <param name="weights">A weight a pair, at least one: <see cref="WeightQuantiles.Weight"/>.</param>
    /// <param name="beta">The largest that there can be.</param>
    public static IEnumerable<(string Name, double Value)> Of(IReadOnlyList<double> weights, double beta)
    {
        var counts = new int[Bins];
        foreach (var weight in weights)
        {
            counts[Math.Min((int)(weight / beta * Bins), Bins - 1)]++;
        }
        return Names.Zip(counts, (name, count) => (name, (double)count / weights.Count));
    }
}
