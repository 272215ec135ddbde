using System.Text.Json;
using System.Text.Json.Serialization;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>
/// The folder of a training run, OUT: metrics.jsonl, checkpoint-N/, model/. Opens it, trains with progress, saves the model.
/// </summary>
public sealed class RunFolder
{
    /// <summary>The name of the file that says what the run was asked for.</summary>
    public const string OptionsFile = "options.json";

    private static readonly JsonSerializerOptions s_readable = new() { WriteIndented = true, Converters = { new JsonStringEnumConverter() } };

    private readonly string _folder;
    private readonly CheckpointFolder _checkpoints;
    private readonly bool _resume;
    private readonly object _options;

    /// <param name="folder">OUT.</param>
    /// <param name="resume">Go on from OUT's newest checkpoint.</param>
    /// <param name="key">All that two runs must share for one to go on with the other's checkpoint.</param>
    /// <param name="options">What the run is asked for, for people and reports: options.json.</param>
    /// <param name="maxShardBytes">The most bytes of weights in a file of a checkpoint.</param>
    /// <exception cref="InputException">
    /// OUT cannot be written, or holds what an earlier run left and this one is not to resume, or is to be resumed and is finished.
    /// </exception>
    public RunFolder(string folder, bool resume, object key, object options, long maxShardBytes = ShardedWriter.DefaultShardBytes)
    {
        (_folder, _resume, _options) = (folder, resume, options);
        AtomicFile.RequireWritableFolder(folder);
        AtomicFile.DeleteLeftovers(folder);
        _checkpoints = new CheckpointFolder(folder, TokenHash.Of(JsonSerializer.Serialize(key)), maxShardBytes);
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
    public string ModelPath => PathOf("model");

    /// <summary>The path of OUT's newest checkpoint, whichever run left it; or null.</summary>
    public static string? NewestCheckpoint(string folder) => new CheckpointFolder(folder, "").Newest();

    public string PathOf(string name) => Path.Combine(_folder, name);

    /// <summary>Trains to the end, or until cancelled: then a checkpoint holds the steps made.</summary>
    /// <param name="firstLoss">What step 0 must give, where that is known and the run starts there.</param>
    /// <param name="tensorBoard">Where a TensorBoard event file goes; null for none.</param>
    /// <param name="live">Told of every step; null for none.</param>
    /// <param name="evaluate">Measures the model; called before step 0 and after the last, each a line of metrics.jsonl. Null for nothing.</param>
    /// <returns>The measurement after the last step; empty where there is none.</returns>
    public IReadOnlyList<(string Name, double Value)> Train(
        Transformer model, ITokenizer tokenizer, ITrainingTask task, TrainingOptions options, double? firstLoss, IRunLog log,
        CancellationToken cancellation, string? tensorBoard = null, LiveReport? live = null,
        Func<IReadOnlyList<(string Name, double Value)>>? evaluate = null)
    {
        if (options.Lora is not null)
        {
            // Only now: every pass of the reference, which is the model without them, has been made.
            LoraAdapters.Attach(model, options.Lora, options.Seed);
        }
        var run = new TrainingRun(model, task, options, _checkpoints);
        if (_resume)
        {
            log.Note(run.TryResume(log.Note) ? $"resumed from {_checkpoints.PathOf(run.Step)}" : $"{_folder} holds no checkpoint: starting at step 0");
        }
        AtomicFile.WriteText(PathOf(OptionsFile), JsonSerializer.Serialize(_options, s_readable) + "\n"); // another run's checkpoint is refused by now
        var before = run.Step == 0 ? evaluate?.Invoke() : null;
        using var metrics = new MetricsFile(PathOf(MetricsFile.Name), run.Step);
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
            },
            firstLoss, cancellation);
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

        void WriteEvaluation(IReadOnlyList<(string Name, double Value)> measured)
        {
            IReadOnlyList<(string, double)> line = [("epoch", (double)run.Step / run.StepsPerEpoch), .. measured];
            metrics.Write(run.Step, line);
            board?.Write(run.Step, line);
            live?.Add(run.Step, measured);
        }
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
