using TinyDpo.Models;

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
    /// <summary>One sample of a policy at each prompt: reward and KL to the reference, each half of the prompts by itself.</summary>
    /// <param name="accepts">Whether a grammar accepts prompt and completion; null where there is none.</param>
    public static FrontierPoint Measure(
        Transformer policy, Transformer reference, ITokenizer tokenizer, IReadOnlyList<(int[] Ids, string Text)> prompts, GenerationOptions generation,
        IReward reward, int step, Func<string, string, bool>? accepts, CancellationToken cancellation)
    {
        ScoredCompletion[] samples =
            [.. PairSampler.Sample(policy, tokenizer, prompts, 1, generation, reward, cancellation: cancellation).Select(static c => c[0])];
        var kl = PolicyDivergence.Measure(policy, reference, [.. samples.Select((s, i) => (prompts[i].Ids, s.Tokens))], cancellation: cancellation).Kl;
        var half = samples.Length / 2;
        var grammatical = samples.Where((s, i) => s.Ended && accepts?.Invoke(prompts[i].Text, s.Text) == true).Count();
        return new FrontierPoint(step, Half(0, half), Half(half, samples.Length), accepts is null ? null : (double)grammatical / samples.Length);

        FrontierHalf Half(int from, int to) => FrontierHalf.Of([.. samples[from..to].Select(static s => s.Reward)], kl[from..to].Average());
    }

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
