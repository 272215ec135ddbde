using System.Text.Json;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>
/// The paper's comparisons in the review world. A run's result is a JSON file, OUT/seed-N/NAME/RUN.json; one that is there is not made again,
/// so that an experiment goes on where it was stopped, and more seeds add to what is there.
/// </summary>
public static class ExperimentRun
{
    /// <summary>Reward against KL for every method.</summary>
    public const string Frontier = "frontier";

    /// <summary>Best-of-N by the learned and by the true reward.</summary>
    public const string BestOf = "best-of-n";

    /// <summary>The reward model's learning curve, DPO's implicit reward beside it.</summary>
    public const string RewardModel = "reward-model";

    public static IReadOnlyList<string> Names { get; } = [Frontier, BestOf, RewardModel];

    /// <summary>Makes what is missing, writes OUT/NAME.md and OUT/NAME.html.</summary>
    /// <exception cref="InputException">OUT cannot be written, or holds runs with other settings.</exception>
    public static ExperimentReport Run(string name, ExperimentOptions options, IBackend backend, IRunLog log, CancellationToken cancellation = default)
    {
        AtomicFile.RequireWritableFolder(options.Out);
        var settings = TokenHash.Of(JsonSerializer.Serialize(options with { Out = "", Seeds = 0 }));
        var seeds = Enumerable.Range(1, options.Seeds).Select(seed => new ExperimentWorld(options, (ulong)seed, backend, log, cancellation));
        var report = name switch
        {
            Frontier => ExperimentReport.Frontier(Runs(FrontierArm.All(options)), options),
            BestOf => ExperimentReport.BestOf(Runs([.. FrontierArm.All(options).Where(static arm => arm.Method is FrontierArm.BestOf or FrontierArm.BestOfTrue)])),
            RewardModel => ExperimentReport.RewardCurve(
                [.. seeds.SelectMany(world => options.LearningCurve.Select(pairs => Load(world, name, $"{pairs}.json", () => world.LearnFrom(pairs))))]),
            _ => throw new ArgumentException($"there is no experiment {name}"),
        };
        report.Write(options.Out);
        return report;

        IReadOnlyList<FrontierRun> Runs(IReadOnlyList<FrontierArm> arms) =>
        [
            .. seeds.SelectMany(world => arms.Select((arm, i) => Load(world, Frontier, arm.FileName, () =>
            {
                log.Note($"seed {world.Seed} of {options.Seeds}, run {i + 1} of {arms.Count}: {arm.Name}");
                return new FrontierRun(arm.Method, arm.Setting, world.Seed, arm.Points(world));
            }))),
        ];

        T Load<T>(ExperimentWorld world, string folder, string file, Func<T> make)
        {
            cancellation.ThrowIfCancellationRequested();
            return RunStore.LoadOrMake(Path.Combine(options.Out, $"seed-{world.Seed}", folder, file), settings, make);
        }
    }
}
