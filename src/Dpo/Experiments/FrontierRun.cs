namespace TinyDpo.Dpo;

/// <summary>Mean reward, its standard error, and the mean KL to SFT in nats a sequence, over half of the held-out prefixes.</summary>
internal sealed record FrontierHalf(double Reward, double RewardError, double Kl)
{
    public static FrontierHalf Of(double[] rewards, double kl) =>
        new(rewards.Average(), rewards.Length > 1 ? Statistics.StandardDeviation(rewards) / Math.Sqrt(rewards.Length) : 0, kl);
}

/// <summary>A policy as it was after so many steps (with best-of-N, at that N).</summary>
/// <param name="Step">Steps, iterations, or N.</param>
/// <param name="Choosing">The half of the prefixes that a policy is chosen by.</param>
/// <param name="Reporting">The other half, which its figures come from.</param>
/// <param name="Grammatical">Share of samples that the grammar accepts; null where it was not looked at.</param>
internal sealed record FrontierPoint(int Step, FrontierHalf Choosing, FrontierHalf Reporting, double? Grammatical = null)
{
    /// <summary>Both halves together, taken to be of one size.</summary>
    public FrontierHalf Overall => new(
        (Choosing.Reward + Reporting.Reward) / 2, Math.Sqrt((Choosing.RewardError * Choosing.RewardError) + (Reporting.RewardError * Reporting.RewardError)) / 2,
        (Choosing.Kl + Reporting.Kl) / 2);
}

/// <summary>One run of one method.</summary>
internal sealed record FrontierRun(string Method, string Setting, ulong Seed, FrontierPoint[] Points)
{
    /// <summary>The largest reward on the half for choosing among points whose KL there is within the bound; null where none is.</summary>
    public static (FrontierRun Run, FrontierPoint Point)? Best(IEnumerable<FrontierRun> runs, double klBound) =>
        runs.SelectMany(static run => run.Points.Select(point => (Run: run, Point: point)))
            .Where(p => p.Point.Choosing.Kl <= klBound)
            .Select(static p => ((FrontierRun, FrontierPoint)?)p)
            .MaxBy(static p => p!.Value.Item2.Choosing.Reward);
}
