namespace TinyDpo.Dpo;

/// <summary>A judge on the answers of one policy against the world's own.</summary>
/// <param name="Agreement">How often it says what an annotator says; half where it sees no difference.</param>
/// <param name="WinRate">Of the policy, by this judge.</param>
internal sealed record JudgeResult(string Judge, string Method, Interval Agreement, Interval WinRate);

/// <summary>
/// Whether automatic judges can stand for annotators (Rafailov et al. 2023, section 6.4, table 2): agreement with an annotator's draws, beside
/// that of a second annotator.
/// </summary>
internal static class JudgeExperiment
{
    private const double Temperature = 1;

    private static readonly string[] s_methods = [FrontierArm.Dpo, ExperimentWorld.SftMethod, FrontierArm.Ppo];

    public static JudgeResult[] Run(ExperimentWorld world)
    {
        var prompts = world.JudgedPrompts(shifted: false);
        var answers = world.Describe(prompts, [.. prompts.Select(static p => new ScoredCompletion([], p.Answer, true, p.AnswerReward))]);
        return [.. s_methods.SelectMany((method, matchup) =>
        {
            var own = world.Describe(prompts, world.Answer(world.Policy(method), prompts, Temperature));
            double[] labels = Verdicts(Judge.Annotator, Judge.All.Count);
            return Judge.All.Select((judge, index) =>
            {
                var verdicts = Verdicts(judge, index);
                return new JudgeResult(
                    judge.Name, method, Statistics.Proportion(verdicts.Zip(labels, static (v, l) => 1 - Math.Abs(v - l)).Sum(), labels.Length),
                    Statistics.Proportion(verdicts.Sum(), verdicts.Length));
            });

            double[] Verdicts(Judge judge, int index) => [.. own.Select((a, i) => judge.Prefers(a, answers[i], (world.Seed, matchup, i, index)))];
        })];
    }
}
