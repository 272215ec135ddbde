using System.Text.Json;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>
/// The paper's comparisons in a world. A run's result is a JSON file, seed-N/NAME/RUN.json in the world's folder; one that is there is not made again,
/// so that an experiment goes on where it was stopped, and more seeds add to what is there.
/// </summary>
public sealed class ExperimentRun
{
    /// <summary>Reward against KL for every method.</summary>
    public const string Frontier = "frontier";

    /// <summary>Best-of-N by the learned and by the true reward.</summary>
    public const string BestOf = "best-of-n";

    /// <summary>The reward model's learning curve, DPO's implicit reward beside it.</summary>
    public const string RewardModel = "reward-model";

    /// <summary>Win rates by sampling temperature.</summary>
    public const string Temperature = "temperature";

    /// <summary>Win rates along DPO's training.</summary>
    public const string TrainingCurve = "training-curve";

    /// <summary>Win rates on prompts of another distribution.</summary>
    public const string Shift = "shift";

    /// <summary>Automatic judges against annotators.</summary>
    public const string Judges = "judges";

    /// <summary>DPO without one or the other of its parts.</summary>
    public const string Ablation = "ablation";

    private readonly ExperimentOptions _options;
    private readonly IRunLog _log;
    private readonly CancellationToken _cancellation;
    private readonly string _settings;
    private readonly ExperimentWorld[] _worlds;

    private ExperimentRun(ExperimentOptions options, IBackend backend, IRunLog log, CancellationToken cancellation)
    {
        (_options, _log, _cancellation) = (options, log, cancellation);
        _settings = TokenHash.Of(JsonSerializer.Serialize(options with { Out = "", Seeds = 0 }));
        _worlds = [.. Enumerable.Range(1, options.Seeds).Select(seed => new ExperimentWorld(options, (ulong)seed, backend, log, cancellation))];
    }

    public static IReadOnlyList<string> Names { get; } = [Frontier, BestOf, RewardModel, Temperature, TrainingCurve, Shift, Judges, Ablation];

    /// <summary>The experiments that a world has: other prompts and judges that count words are made for reviews.</summary>
    public static IReadOnlyList<string> NamesIn(World world) => world == World.Reviews ? Names : [.. Names.Where(static name => name is not (Shift or Judges))];


    /// <summary>Makes what is missing, writes NAME.md and NAME.html into the world's folder.</summary>
    /// <exception cref="InputException">OUT cannot be written, or holds runs with other settings.</exception>
    public static ExperimentReport Run(string name, ExperimentOptions options, IBackend backend, IRunLog log, CancellationToken cancellation = default)
    {
        AtomicFile.RequireWritableFolder(options.Folder);
        var report = new ExperimentRun(options, backend, log, cancellation).Report(name);
        report.Write(options.Folder);
        return report;
    }

    private ExperimentReport Report(string name)
    {
        var arms = FrontierArm.All(_options);
        return name switch
        {
            Frontier => FrontierReport.Of(name, Runs(Frontier, arms), _options.KlBounds),
            BestOf => FrontierReport.BestOf(Runs(Frontier, [.. arms.Where(static arm => arm.Method is FrontierArm.BestOf or FrontierArm.BestOfTrue)])),
            RewardModel => RewardCurveReport.Of(
                [.. _worlds.SelectMany(world => _options.LearningCurve.Select(pairs => Load(world, name, $"{pairs} pairs", () => world.LearnFrom(pairs))))]),
            Temperature => WinRateReport.Temperature([.. OneEach(name, WinRateExperiments.Temperature).SelectMany(static points => points)]),
            TrainingCurve => WinRateReport.TrainingCurve([.. OneEach(name, WinRateExperiments.TrainingCurve).SelectMany(static points => points)]),
            Shift => WinRateReport.Shift(OneEach(name, WinRateExperiments.Shift)),
            Judges => JudgeReport.Of([.. OneEach(name, JudgeExperiment.Run).SelectMany(static results => results)]),
            Ablation => AblationReport.Of([.. Runs(Frontier, Dpo.Ablation.OverBeta(_options)), .. Runs(name, Dpo.Ablation.Arms(_options))], _options),
            _ => throw new ArgumentException($"there is no experiment {name}"),
        };
    }

    private FrontierRun[] Runs(string folder, IReadOnlyList<FrontierArm> arms) =>
    [
        .. _worlds.SelectMany(world => arms.Select(arm => Load(
            world, folder, arm.Name, () => new FrontierRun(arm.Method, arm.Setting, world.Seed, arm.Points(world))))),
    ];

    private T[] OneEach<T>(string name, Func<ExperimentWorld, T> run) => [.. _worlds.Select(world => Load(world, name, "all", () => run(world)))];

    private T Load<T>(ExperimentWorld world, string folder, string run, Func<T> make)
    {
        _cancellation.ThrowIfCancellationRequested();
        var file = run.ToLowerInvariant().Replace(' ', '-') + ".json";
        return RunStore.LoadOrMake(Path.Combine(_options.Folder, $"seed-{world.Seed}", folder, file), _settings, () =>
        {
            _log.Note($"seed {world.Seed} of {_options.Seeds}: {folder}, {run}");
            return make();
        });
    }
}
