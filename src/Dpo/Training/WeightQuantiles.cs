namespace TinyDpo.Dpo;

/// <summary>
/// The spread of what the DPO gradient weighs each pair with, beta sigmoid(-margin) (Rafailov et al. 2023, section 4): quantiles over the
/// pairs of a step, by the nearest rank.
/// </summary>
public static class WeightQuantiles
{
    private static readonly (string Name, double Share)[] s_quantiles =
        [("weights/p5", 0.05), ("weights/p25", 0.25), ("weights/p50", 0.5), ("weights/p75", 0.75), ("weights/p95", 0.95)];

    public static IEnumerable<string> Names => s_quantiles.Select(static q => q.Name);

    /// <param name="weights">A weight a pair, at least one.</param>
    public static IEnumerable<(string Name, double Value)> Of(IEnumerable<double> weights)
    {
        double[] sorted = [.. weights.Order()];
        return s_quantiles.Select(q => (q.Name, sorted[Math.Max(0, (int)Math.Ceiling(q.Share * sorted.Length) - 1)]));
    }

    /// <summary>beta sigmoid(-margin), without overflow.</summary>
    public static double Weight(double beta, double margin)
    {
        var e = Math.Exp(-Math.Abs(margin));
        return beta * (margin > 0 ? e : 1) / (1 + e);
    }
}
