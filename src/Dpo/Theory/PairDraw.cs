namespace TinyDpo.Dpo;

/// <summary>
/// How pairs are drawn: two different answers, in proportion to the product of their weights. An answer of weight 0 is in no pair.
/// </summary>
/// <param name="Weights">One a sequence, not negative.</param>
/// <param name="Groups">Where given, both answers of a pair are of one group.</param>
internal sealed record PairDraw(double[] Weights, int[]? Groups = null)
{
    public static PairDraw Uniform(int count) => new([.. Enumerable.Repeat(1.0, count)]);

    /// <summary>Both answers sampled from a policy, which is how data sets of pairs are made.</summary>
    public static PairDraw From(double[] policy) => new(Array.ConvertAll(policy, Math.Exp));

    /// <summary>Answers that some pair holds.</summary>
    public int[] Held { get; } = [.. Enumerable.Range(0, Weights.Length).Where(i => Weights[i] > 0)];

    private double Total { get; } = Sum(Weights, Groups);

    /// <summary>The probability that i and j are drawn, in either order.</summary>
    public double Probability(int i, int j) => Groups is null || Groups[i] == Groups[j] ? 2 * Weights[i] * Weights[j] / Total : 0;

    // Over ordered pairs of different answers: in each group the square of the sum, less the sum of squares.
    private static double Sum(double[] weights, int[]? groups) =>
        weights.Select((w, i) => (w, Group: groups?[i] ?? 0)).GroupBy(static x => x.Group)
            .Sum(static g => g.Sum(static x => x.w) * g.Sum(static x => x.w)) - weights.Sum(static w => w * w);
}
