namespace TinyDpo.Dpo;

/// <summary>
/// The most reward that any policy can have at a KL to its reference: that of pi_ref exp(r / beta) / Z (Rafailov et al. 2023, equation 4),
/// by self-normalised importance weights on the reference's samples. All prefixes share one Z, as if a policy could choose its prefix too,
/// which only lifts the ceiling.
/// </summary>
internal static class RewardCeiling
{
    /// <summary>Fewer effective samples, (sum w)^2 / sum w^2, say nothing.</summary>
    public const double LeastEffectiveSamples = 100;

    // The KL grows as 1 / beta^2 at first, by 6 % from point to point.
    private const double FirstBeta = 2, Ratio = 1.03;
    private const int MostBetas = 150;

    /// <summary>A point for each beta from large to small, as long as both halves have effective samples.</summary>
    /// <param name="rewards">True rewards of the reference's samples, [prefixes][completions].</param>
    public static FrontierPoint[] Points(double[][] rewards)
    {
        double[] choosing = [.. rewards[..(rewards.Length / 2)].SelectMany(static r => r)], reporting = [.. rewards[(rewards.Length / 2)..].SelectMany(static r => r)];
        return
        [
            .. Enumerable.Range(0, MostBetas).Select(i => (Index: i, Beta: FirstBeta / Math.Pow(Ratio, i)))
                .Select(b => (b.Index, A: At(choosing, b.Beta), B: At(reporting, b.Beta)))
                .TakeWhile(static p => Math.Min(p.A.EffectiveSamples, p.B.EffectiveSamples) >= LeastEffectiveSamples)
                .Select(static p => new FrontierPoint(p.Index, p.A.Half, p.B.Half)),
        ];
    }

    /// <summary>E[r] and KL under the tilted distribution.</summary>
    internal static (FrontierHalf Half, double EffectiveSamples) At(double[] rewards, double beta)
    {
        var most = rewards.Max();
        double[] weights = [.. rewards.Select(r => Math.Exp((r - most) / beta))];
        var total = weights.Sum();
        double reward = 0, kl = 0, squares = 0;
        foreach (var (r, w) in rewards.Zip(weights, (r, w) => (r, w / total)))
        {
            reward += w * r;
            kl += w > 0 ? w * Math.Log(w * rewards.Length) : 0;
            squares += w * w;
        }
        var variance = rewards.Zip(weights, (r, w) => w / total * (w / total) * (r - reward) * (r - reward)).Sum();
        return (new FrontierHalf(reward, Math.Sqrt(variance), kl), 1 / squares);
    }
}
