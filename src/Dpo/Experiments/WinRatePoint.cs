using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>A policy's answers against the world's own, by the true reward.</summary>
/// <param name="Method">The policy's method.</param>
/// <param name="Step">Steps of training; 0 for a policy at its end.</param>
/// <param name="WinRate">Ties count 1/2.</param>
/// <param name="Reward">Mean true reward.</param>
/// <param name="Grammatical">Share of answers that the grammar accepts.</param>
internal sealed record WinRatePoint(string Method, int Step, double Temperature, Interval WinRate, double Reward, double Grammatical)
{
    public static WinRatePoint Of(ExperimentWorld world, string method, Transformer policy, IReadOnlyList<JudgedPrompt> prompts, double temperature, int step = 0)
    {
        var answers = world.Answer(policy, prompts, temperature);
        double[] rewards = [.. answers.Select(static a => a.Reward)];
        return new WinRatePoint(
            method, step, temperature, Statistics.WinRate(rewards, [.. prompts.Select(static p => p.AnswerReward)]), rewards.Average(),
            answers.Zip(prompts, (a, p) => a.Ended && world.World.Accepts(p.Prefix, p.Begun + a.Text)).Average(static ok => ok ? 1.0 : 0));
    }
}
