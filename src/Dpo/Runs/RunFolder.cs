using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>
/// The folder of a training run, OUT: metrics.jsonl, checkpoint-N/, model/. Opens it, trains with progress, saves the model.
/// </summary>
public sealed class RunFolder
{
    private readonly string _folder;
    private readonly CheckpointFolder _checkpoints;
    private readonly bool _resume;

    /// <param name="folder">OUT.</param>
    /// <param name="resume">Go on from OUT's newest checkpoint.</param>
    /// <param name="key">All that two runs must share for one to go on with the other's checkpoint.</param>
    /// <exception cref="InputException">OUT cannot be written, or holds checkpoints of an earlier run that is not to be resumed.</exception>
    public RunFolder(string folder, bool resume, object key)
    {
        (_folder, _resume) = (folder, resume);
        AtomicFile.RequireWritableFolder(folder);
        _checkpoints = new CheckpointFolder(folder, Hash(key));
        if (!resume && _checkpoints.Newest() is { } newest)
        {
            throw new InputException(newest, null, "an earlier run left this checkpoint", "give --resume to go on with it, or another --out");
        }
    }

    /// <summary>The path of OUT's newest checkpoint, whichever run left it; or null.</summary>
    public static string? NewestCheckpoint(string folder) => new CheckpointFolder(folder, "").Newest();

    public string PathOf(string name) => Path.Combine(_folder, name);

    /// <summary>Trains to the end, or until cancelled: then a checkpoint holds the steps made.</summary>
    /// <param name="firstLoss">What step 0 must give, where that is known and the run starts there.</param>
    /// <returns>The folder of the trained model.</returns>
    public string Train(
        Transformer model, ITokenizer tokenizer, ITrainingTask task, TrainingOptions options, double? firstLoss, IRunLog log,
        CancellationToken cancellation)
    {
        var run = new TrainingRun(model, task, options, _checkpoints);
        if (_resume)
        {
            log.Note(run.TryResume() ? $"resumed from {_checkpoints.Newest()}" : $"{_folder} holds no checkpoint: starting at step 0");
        }
        log.Stage("training", run.TotalSteps);
        using (var metrics = new MetricsFile(PathOf("metrics.jsonl"), run.Step))
        {
            run.Run(
                report =>
                {
                    metrics.Write(report);
                    log.Advance(report.Step + 1, ProgressLine.Of(report));
                },
                firstLoss, cancellation);
        }
        var saved = PathOf("model");
        ModelFile.Save(saved, model, tokenizer);
        return saved;
    }

    private static string Hash(object key) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(JsonSerializer.Serialize(key))));
}

/// <summary>What stands beside the progress bar.</summary>
public static class ProgressLine
{
    public static string Of(StepReport report)
    {
        var line = FormattableString.Invariant($"loss {report["loss"]:0.0000}");
        if (report.Metrics.Any(static m => m.Name == "rewards/margins"))
        {
            line += FormattableString.Invariant($"  margin {report["rewards/margins"]:0.000}");
        }
        return line + FormattableString.Invariant($"  {report["tokens/s"]:0} tokens/s");
    }
}
