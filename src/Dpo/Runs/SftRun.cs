using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>What `tinydpo sft` is asked for.</summary>
public sealed record SftRunOptions
{
    /// <summary>A model to go on from; or null, and <see cref="Config"/> gives the shape of a new one.</summary>
    public string? Model { get; init; }

    /// <summary>The config.json of a new model, trained from scratch.</summary>
    public string? Config { get; init; }

    public string? Tokenizer { get; init; }

    public required string Data { get; init; }

    public required string Out { get; init; }

    public bool Resume { get; init; }

    /// <summary>Whether the run is walked through and nothing is written, for <see cref="RunNeeds.Of"/>.</summary>
    public bool DryRun { get; init; }

    /// <summary>A folder for a TensorBoard event file; null for none.</summary>
    public string? TensorBoard { get; init; }

    public TrainingOptions Training { get; init; } = new();

    public int? MaxLength { get; init; }

    /// <summary>How conversations become text; null for the tokenizer's own template.</summary>
    public ChatTemplate? Template { get; init; }

    public int TokenBudget { get; init; } = SftTask.DefaultTokenBudget;

    /// <summary>What options.json holds.</summary>
    internal object Recorded() => new { Command = "sft", Model, Config, Tokenizer, Data, Training, MaxLength, TokenBudget };
}

/// <summary>Supervised fine-tuning, or training from scratch, from files.</summary>
public static class SftRun
{
    /// <exception cref="InputException">Bad input, with file and place.</exception>
    /// <exception cref="TrainingException">A number is not finite.</exception>
    public static TrainingResult Run(SftRunOptions options, IBackend backend, IRunLog log, CancellationToken cancellation)
    {
        var (model, tokenizer) = Open(options, backend);
        var (read, summary) = SftData.Read(options.Data, tokenizer, new PreferenceDataOptions
        {
            MaxLength = Math.Min(options.MaxLength ?? int.MaxValue, model.Config.MaxPositions),
            Template = options.Template,
            ScratchFolder = options.Out,
            VocabSize = model.Config.VocabSize,
        });
        using var examples = read;
        log.Note(summary.Describe());
        _ = options.Training.TotalSteps(examples.Count); // too many are refused before anything is written
        var folder = new RunFolder(options.Out, options.Resume, new
        {
            Model = ModelFile.Fingerprint(model),
            Tokenizer = tokenizer.Fingerprint,
            Data = TokenHash.Of("", examples.SelectMany(static e => new[] { e.Prompt, e.Completion })),
            Training = options.Training.Key(),
            options.TokenBudget,
        }, options.Recorded(), options.Training.MaxShardBytes, options.DryRun);
        folder.Train(model, tokenizer, new SftTask(model, examples, options.TokenBudget), options.Training, null, log, cancellation, options.TensorBoard);
        log.Stage("examples for the report", 1);
        // Adapters that are not merged leave the model's own weights as they were.
        var before = model.Adapters is null ? Open(options, backend).Model : model;
        var samples = RunExamples.Continuations(model, before, tokenizer, examples.Select(static e => e.Prompt), options.Training.Seed, cancellation);
        if (!options.DryRun)
        {
            new RunExamples([], samples).Write(options.Out);
        }
        return new TrainingResult(folder.ModelPath, summary, []) { Needs = folder.Needs };
    }

    private static (Transformer Model, ITokenizer Tokenizer) Open(SftRunOptions options, IBackend backend)
    {
        if (options.Model is not null)
        {
            var loaded = ModelFile.Load(options.Model, backend, options.Tokenizer);
            RunChecks.RequireWhole(loaded.Model, options.Model);
            return loaded;
        }
        var tokenizer = TokenizerFile.Load(options.Tokenizer!);
        var config = ModelConfig.FromJson(options.Config!);
        TokenizerFile.CheckVocabulary(tokenizer, config.VocabSize, options.Config!);
        var model = new Transformer(config, backend);
        model.Initialise(options.Training.Seed);
        return (model, tokenizer);
    }
}
