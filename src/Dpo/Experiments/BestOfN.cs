namespace TinyDpo.Dpo;

/// <summary>Best-of-N: of N samples the one with the largest score is given (Stiennon et al. 2020; Rafailov et al. 2023, section 6).</summary>
internal static class BestOfN
{
    /// <summary>
    /// log N - (N - 1) / N, an upper bound on the KL of best-of-N to its sampler, in nats a sequence (Beirami et al. 2024, "Theoretical
    /// guarantees on the best-of-n alignment policy").
    /// </summary>
    public static double KlBound(int n) => Math.Log(n) - ((n - 1.0) / n);

    /// <summary>
    /// The expected reward of the best of N that are drawn without replacement, by an average over all draws: the i-th of M in ascending
    /// order of score is the best with probability C(i - 1, N - 1) / C(M, N).
    /// </summary>
    /// <param name="rewards">What a completion is worth, [completions].</param>
    /// <param name="scores">What it is chosen by, [completions].</param>
    public static double Expected(double[] rewards, double[] scores, int n)
    {
        var ascending = (double[])rewards.Clone();
        Array.Sort((double[])scores.Clone(), ascending);
        // From the top: the best of all is drawn with probability N / M, and so on down.
        double expected = 0, none = 1;
        for (var i = ascending.Length - 1; i >= n - 1; i--)
        {
            var probability = (double)n / (i + 1);
            expected += none * probability * ascending[i];
            none *= 1 - probability;
        }
        return expected;
    }

    /// <summary>A point for each N = 1, 2, 4, and so on up to the number of completions.</summary>
    /// <param name="rewards">True rewards, [prefixes][completions].</param>
    /// <param name="scores">What is chosen by.</param>
    public static FrontierPoint[] Points(double[][] rewards, double[][] scores)
    {
        var half = rewards.Length / 2;
        var points = new List<FrontierPoint>();
        for (var n = 1; n <= rewards[0].Length; n *= 2)
        {
            double[] best = [.. rewards.Zip(scores, (r, s) => Expected(r, s, n))];
            points.Add(new FrontierPoint(n, FrontierHalf.Of(best[..half], KlBound(n)), FrontierHalf.Of(best[half..], KlBound(n))));
        }
        return [.. points];
    }
}
