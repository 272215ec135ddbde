using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>
/// The folder of a training run, OUT: metrics.jsonl, checkpoint-N/, model/. Opens it, trains with progress, saves the model.
/// </summary>
public sealed class RunFolder
{
    /// <summary>The name of the file that says what the run was asked for.</summary>
    public const string OptionsFile = "options.json";

    private const string ModelFolder = "model";

    // Of a dry run, where an epoch has not more.
    private const int MostStepsWalked = 2_000;

    private readonly string _folder;
    private readonly CheckpointFolder _checkpoints;
    private readonly bool _resume;
    private readonly bool _dry;
    private readonly object _options;

    /// <param name="folder">OUT.</param>
    /// <param name="resume">Go on from OUT's newest checkpoint.</param>
    /// <param name="key">All that two runs must share for one to go on with the other's checkpoint.</param>
    /// <param name="options">What the run is asked for, for people and reports: options.json.</param>
    /// <param name="maxShardBytes">The most bytes of weights in a file of a checkpoint.</param>
    /// <param name="dry">Training is walked through, and nothing is read from OUT or written there.</param>
    /// <exception cref="InputException">
    /// OUT cannot be written, or holds what an earlier run left and this one is not to resume, or is to be resumed and is finished.
    /// </exception>
    public RunFolder(string folder, bool resume, object key, object options, long maxShardBytes = ShardedWriter.DefaultShardBytes, bool dry = false)
    {
        (_folder, _resume, _options, _dry) = (folder, resume, options, dry);
        _checkpoints = new CheckpointFolder(folder, TokenHash.Of(RecordJson.Compact(key)), maxShardBytes);
        if (dry)
        {
            return;
        }
        AtomicFile.RequireWritableFolder(folder);
        AtomicFile.DeleteLeftovers(folder);
        if (resume)
        {
            RequireUnfinished();
        }
        else
        {
            RequireUnused();
        }
    }

    /// <summary>Where the trained model goes.</summary>
    public string ModelPath => PathOf(ModelFolder);

    /// <summary>What a dry run has found; null before it, and of another.</summary>
    public RunNeeds? Needs { get; private set; }

    /// <summary>The path of OUT's newest checkpoint, whichever run left it; or null.</summary>
    public static string? NewestCheckpoint(string folder) => new CheckpointFolder(folder, "").Newest();

    /// <summary>The path of the model that a run in OUT has trained to the end, or null.</summary>
    public static string? TrainedModel(string folder) => Path.Combine(folder, ModelFolder) is var path && Directory.Exists(path) ? path : null;

    /// <summary>Writes what a run was asked for.</summary>
    /// <param name="folder">OUT.</param>
    /// <param name="options">Its properties are the file's; the first is Command.</param>
    public static void WriteOptions(string folder, object options) =>
        AtomicFile.WriteText(Path.Combine(folder, OptionsFile), RecordJson.Readable(options) + "\n");

    public string PathOf(string name) => Path.Combine(_folder, name);

    /// <summary>Trains to the end, or until cancelled: then a checkpoint holds the steps made.</summary>
    /// <param name="firstLoss">What step 0 must give, where that is known and the run starts there.</param>
    /// <param name="tensorBoard">Where a TensorBoard event file goes; null for none.</param>
    /// <param name="live">Told of every step; null for none.</param>
    /// <param name="evaluate">Measures the model; called before step 0 and after the last, each a line of metrics.jsonl. Null for nothing.</param>
    /// <param name="evaluateEvery">Steps between further calls of it; 0 for none.</param>
    /// <returns>The measurement after the last step; empty where there is none.</returns>
    public IReadOnlyList<(string Name, double Value)> Train(
        Transformer model, ITokenizer tokenizer, ITrainingTask task, TrainingOptions options, double? firstLoss, IRunLog log,
        CancellationToken cancellation, string? tensorBoard = null, LiveReport? live = null,
        Func<IReadOnlyList<(string Name, double Value)>>? evaluate = null, int evaluateEvery = 0)
    {
        if (options.Lora is not null)
        {
            // Only now: every pass of the reference, which is the model without them, has been made.
            LoraAdapters.Attach(model, options.Lora, options.Seed);
        }
        if (_dry)
        {
            return WalkThrough(model, task, options, log, cancellation, evaluate);
        }
        var run = new TrainingRun(model, task, options, _checkpoints);
        if (_resume)
        {
            var refused = new List<string>();
            var resumed = run.TryResume(refused.Add);
            refused.ForEach(log.Warn);
            log.Note(resumed ? $"resumed from {_checkpoints.PathOf(run.Step)}" : $"{_folder} holds no checkpoint: starting at step 0");
        }
        WriteOptions(_folder, _options); // another run's checkpoint is refused by now
        var before = IsMeasured(run.Step) ? evaluate?.Invoke() : null;
        using var metrics = new MetricsFile(PathOf(MetricsFile.Name), run.Step, run.Step > 0 ? _checkpoints.MetricsTail(run.Step) : []);
        if (metrics.Missing is { } missing)
        {
            log.Warn($"{PathOf(MetricsFile.Name)} lacks the lines of steps {missing}, and the checkpoint holds those of its last {MetricsFile.TailSteps} steps alone");
        }
        using var board = tensorBoard is null ? null : new TensorBoardFile(tensorBoard, run.Step);
        live?.AddLines(metrics.Kept);
        if (before is not null)
        {
            WriteEvaluation(before);
        }
        log.Stage("training", run.TotalSteps);
        run.Run(
            report =>
            {
                metrics.Write(report);
                board?.Write(report.Step, [("epoch", report.Epoch), .. report.Metrics]);
                live?.Add(report.Step, report.Metrics);
                log.Advance(report.Step + 1, ProgressLine.Of(report));
                if (IsMeasured(run.Step) && run.Step < run.TotalSteps)
                {
                    MeasureBetween();
                }
            },
            firstLoss, cancellation, () => metrics.Tail);
        if (options.MergeAdapters)
        {
            model.MergeAdapters();
        }
        ModelFile.Save(ModelPath, model, tokenizer, options.SaveFormat, options.MaxShardBytes); // before the measurement, which may be interrupted
        if (evaluate is null)
        {
            return [];
        }
        var after = evaluate();
        WriteEvaluation(after);
        return after;

        bool IsMeasured(int steps) => steps == 0 || (evaluateEvery > 0 && steps % evaluateEvery == 0);

        void MeasureBetween()
        {
            try
            {
                if (evaluate?.Invoke() is { } measured)
                {
                    WriteEvaluation(measured);
                    log.Stage("training", run.TotalSteps);
                    log.Advance(run.Step);
                }
            }
            catch (OperationCanceledException)
            {
                // The run sees it next and saves its steps; when it is resumed from here, it is measured here.
            }
        }

        void WriteEvaluation(IReadOnlyList<(string Name, double Value)> measured)
        {
            IReadOnlyList<(string, double)> line = [("epoch", (double)run.Step / run.StepsPerEpoch), .. measured];
            metrics.Write(run.Step, line);
            board?.Write(run.Step, line);
            live?.Add(run.Step, measured);
        }
    }

    /// <summary>
    /// The training on a backend that computes nothing, with the memory that <see cref="Train"/> would ask for in its order. Each epoch has
    /// batches of other sizes, which take blocks of other size classes of the pool; after so many steps there are hardly new ones.
    /// </summary>
    private IReadOnlyList<(string Name, double Value)> WalkThrough(
        Transformer model, ITrainingTask task, TrainingOptions options, IRunLog log, CancellationToken cancellation,
        Func<IReadOnlyList<(string Name, double Value)>>? evaluate)
    {
        var memory = model.Backend.Memory;
        var parameters = memory.OutstandingBytes;
        var epochs = Math.Clamp(MostStepsWalked / options.StepsPerEpoch(task.Examples), 1, options.Epochs);
        var run = new TrainingRun(model, task, options with { Epochs = epochs, CheckpointEvery = 0 });
        var state = memory.OutstandingBytes - parameters;
        evaluate?.Invoke();
        var measured = (MeasuredBackend)model.Backend;
        measured.Clear();
        long gradients = 0;
        log.Stage("walking through the training", run.TotalSteps);
        run.Run(
            report =>
            {
                gradients = memory.OutstandingBytes - parameters - state;
                log.Advance(report.Step + 1);
            },
            cancellation: cancellation);
        Needs = new RunNeeds(
            parameters, gradients, state, 0, task.Examples, options.TotalSteps(task.Examples), options.Epochs,
            measured.Costs.Sum(static cost => cost.Flops) / run.TotalSteps);
        if (options.MergeAdapters)
        {
            model.MergeAdapters();
        }
        return evaluate?.Invoke() ?? [];
    }

    private void RequireUnused()
    {
        var left = _checkpoints.Newest()
            ?? (Directory.Exists(ModelPath) ? ModelPath : null)
            ?? (new FileInfo(PathOf(MetricsFile.Name)) is { Exists: true, Length: > 0 } ? PathOf(MetricsFile.Name) : null); // empty: no step was made
        if (left is not null)
        {
            throw new InputException(left, null, "an earlier run left this", "give --resume to go on with that run, or another --out");
        }
    }

    private void RequireUnfinished()
    {
        if (Directory.Exists(ModelPath) && _checkpoints.Newest() is null)
        {
            throw new InputException(ModelPath, null, "this run is finished", "use this model, or give another --out to train anew");
        }
    }
}
