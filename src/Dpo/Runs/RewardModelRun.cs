using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>What `tinydpo reward-model` is asked for.</summary>
public sealed record RewardModelRunOptions
{
    /// <summary>The model whose weights the reward model starts from; its output head is replaced.</summary>
    public required string Model { get; init; }

    public string? Tokenizer { get; init; }

    public required string Data { get; init; }

    /// <summary>Held-out pairs, measured before and after as eval_* in metrics.jsonl; null for none.</summary>
    public string? EvalData { get; init; }

    public required string Out { get; init; }

    public bool Resume { get; init; }

    public TrainingOptions Training { get; init; } = new();

    /// <summary>How conversations become text; null for the tokenizer's own template.</summary>
    public ChatTemplate? Template { get; init; }

    public int? MaxLength { get; init; }

    public int? MaxPromptLength { get; init; }

    public int TokenBudget { get; init; } = SftTask.DefaultTokenBudget;

    /// <summary>Whether the run is walked through and nothing is written, for <see cref="RunNeeds.Of"/>.</summary>
    public bool DryRun { get; init; }

    /// <summary>A folder for a TensorBoard event file; null for none.</summary>
    public string? TensorBoard { get; init; }

    /// <summary>What options.json holds.</summary>
    internal object Recorded() => new { Command = "reward-model", Model, Tokenizer, Data, EvalData, Training, MaxLength, MaxPromptLength, TokenBudget };
}

/// <summary>Trains a reward model from files: pairs in, OUT/metrics.jsonl, checkpoints and OUT/model out.</summary>
public static class RewardModelRun
{
    /// <exception cref="InputException">Bad input, with file and place.</exception>
    /// <exception cref="TrainingException">A number is not finite.</exception>
    public static TrainingResult Run(RewardModelRunOptions options, IBackend backend, IRunLog log, CancellationToken cancellation)
    {
        var (start, tokenizer) = ModelFile.Load(options.Model, backend, options.Tokenizer);
        RunChecks.RequireWhole(start, options.Model);
        var model = start.WithScalarHead();
        start.Free(); // copied
        var data = new PreferenceDataOptions
        {
            MaxLength = Math.Min(options.MaxLength ?? int.MaxValue, model.Config.MaxPositions),
            MaxPromptLength = options.MaxPromptLength,
            Template = options.Template,
            ScratchFolder = options.Out,
            VocabSize = model.Config.VocabSize,
        };
        var (read, summary) = PreferenceData.Read(options.Data, tokenizer, data);
        using var pairs = read;
        log.Note(summary.Describe());
        _ = options.Training.TotalSteps(pairs.Count); // too many are refused before anything is written
        using var heldOut = options.EvalData is null ? null : ReadHeldOut(options.EvalData);
        var folder = new RunFolder(options.Out, options.Resume, new
        {
            Model = ModelFile.Fingerprint(model),
            Data = TokenHash.Of(tokenizer.Fingerprint, pairs.SelectMany(static p => new[] { p.Prompt, p.Chosen, p.Rejected })),
            Training = options.Training.Key(),
            options.TokenBudget,
        }, options.Recorded(), options.Training.MaxShardBytes, options.DryRun);
        var evaluation = folder.Train(
            model, tokenizer, new RewardTask(model, RewardTask.Rankings(pairs), options.TokenBudget), options.Training, RankingLoss.AtEqualScores(2),
            log, cancellation, options.TensorBoard, evaluate: heldOut is null ? null : Evaluate);
        return new TrainingResult(folder.ModelPath, summary, evaluation) { Needs = folder.Needs };

        TokenRows<PreferencePair> ReadHeldOut(string path)
        {
            var (rows, heldOutSummary) = PreferenceData.Read(path, tokenizer, data);
            log.Note($"held-out: {heldOutSummary.Describe()}");
            return rows;
        }

        (string Name, double Value)[] Evaluate()
        {
            log.Stage("held-out pairs", heldOut.Count);
            var measured = RewardEvaluation.Measure(model, heldOut, options.TokenBudget, n => log.Advance(n), cancellation);
            return double.IsFinite(measured.Loss)
                ? [.. measured.Metrics().Select(static m => ("eval_" + m.Name, m.Value))]
                : throw new TrainingException($"the loss on {options.EvalData} is {measured.Loss}; try a smaller learning rate");
        }
    }
}
