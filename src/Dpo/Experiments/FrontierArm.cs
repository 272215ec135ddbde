using System.Globalization;

namespace TinyDpo.Dpo;

/// <summary>A method with one setting of it, and how it is run.</summary>
/// <param name="Points">Trains, or samples, in a world; gives what was measured.</param>
internal sealed record FrontierArm(string Method, string Setting, Func<ExperimentWorld, FrontierPoint[]> Points)
{
    public const string Dpo = "DPO", Ppo = "PPO", PpoTrue = "PPO-GT", Unlikelihood = "Unlikelihood", Preferred = "Preferred-FT",
        BestOf = "Best-of-N", BestOfTrue = "Best-of-N-GT", Ceiling = "Ceiling";

    /// <summary>Method and setting.</summary>
    public string Name => $"{Method} {Setting}".Trim();

    /// <summary>Every run of a seed, in the order of the table.</summary>
    public static IReadOnlyList<FrontierArm> All(ExperimentOptions options)
    {
        return
        [
            .. options.DpoBetas.Select(beta => WithDpo(options, beta)),
            .. options.PpoTargets.Select(target => WithPpo(Ppo, target, static world => world.LearnedReward)),
            .. options.PpoTargets.Select(target => WithPpo(PpoTrue, target, static world => world.TrueReward)),
            .. options.UnlikelihoodAlphas.Select(alpha => OnPairs(options, Unlikelihood, $"alpha {Number(alpha)}", new UnlikelihoodLoss(alpha))),
            OnPairs(options, Preferred, "", new SftLoss()),
            new(BestOf, "", static world => BestOfN.Points(world.Pool.True, world.Pool.Learned)),
            new(BestOfTrue, "", static world => BestOfN.Points(world.Pool.True, world.Pool.True)),
            new(Ceiling, "", static world => RewardCeiling.Points(world.Pool.True)),
        ];

        FrontierArm WithPpo(string method, double target, Func<ExperimentWorld, RewardFunction> reward) => new(
            method, $"target {Number(target)}", world => new CheckpointTrack(world.Measure, options.Ppo.Iterations, options.Checkpoints)
                .Follow(after => world.TrainPpo($"{method} target {Number(target)}", target, reward(world), after)));
    }

    /// <summary>DPO on SFT's own pairs.</summary>
    public static FrontierArm WithDpo(ExperimentOptions options, double beta) => OnPairs(options, Dpo, $"beta {Number(beta)}", new DpoLoss(beta));

    /// <summary>Preference training with a loss.</summary>
    /// <param name="set">What it learns from; SFT's own pairs where nothing is said.</param>
    public static FrontierArm OnPairs(
        ExperimentOptions options, string method, string setting, IPreferenceLoss loss, Func<ExperimentWorld, LearningSet>? set = null) => new(
        method, setting, world =>
        {
            var learnt = set?.Invoke(world) ?? world.OwnPairs;
            return new CheckpointTrack(world.Measure, world.StepsOn(learnt), options.Checkpoints)
                .Follow(after => world.TrainOnPairs($"{method} {setting}".Trim(), loss, after, learnt));
        });

    private static string Number(double value) => value.ToString(CultureInfo.InvariantCulture);
}
