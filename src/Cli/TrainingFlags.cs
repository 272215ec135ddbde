using System.CommandLine;
using TinyDpo.Dpo;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Cli;

/// <summary>How a training run goes: the options that sft and dpo share.</summary>
internal sealed class TrainingFlags
{
    private readonly Option<int> _epochs;
    private readonly Option<int?> _maxSteps = CommonOptions.Limit("--max-steps", "Steps of the whole run, in place of --epochs.", 1);
    private readonly Option<int> _batchSize;
    private readonly Option<double> _learningRate;
    private readonly Choice<ScheduleKind> _schedule;
    private readonly Option<int> _warmup;
    private readonly Option<double> _maxGradNorm = CommonOptions.Real(
        "--max-grad-norm", "Clips the gradient to this norm; 0 for no clipping.", 1, static v => v is >= 0 and <= double.MaxValue, "from 0");
    private readonly Choice<OptimiserKind> _optimiser;
    private readonly Option<double> _weightDecay = CommonOptions.Real(
        "--weight-decay", "Decoupled weight decay of AdamW.", 0, static v => v is >= 0 and <= 1, "from 0 to 1");
    private readonly Option<ulong> _seed = CommonOptions.Seed();
    private readonly Option<bool> _gradientCheckpointing = new("--gradient-checkpointing")
    {
        Description = "Keep each layer's input alone, and compute the layer again in backward: less memory, some more time, the same bits.",
    };
    private readonly Option<int> _checkpointEvery = CommonOptions.Count("--checkpoint-every", "Steps between checkpoints; 0 for none but Ctrl-C's.", 100);
    private readonly Option<int> _keep = CommonOptions.Positive("--keep-checkpoints", "Checkpoints kept, the newest.", 2);
    private readonly Choice<NumberFormat> _saveFormat = CommonOptions.SaveFormat();
    private readonly Option<long> _maxShard = CommonOptions.MaxShardSize();
    private readonly LoraFlags? _lora;

    /// <param name="adapters">Whether the command can train adapters beside frozen weights.</param>
    public TrainingFlags(Command command, TrainingOptions defaults, bool adapters = true)
    {
        _epochs = CommonOptions.Positive("--epochs", "Passes over the data.", defaults.Epochs);
        _batchSize = CommonOptions.Positive("--batch-size", "Examples a step.", defaults.BatchSize);
        _learningRate = CommonOptions.Real(
            "--learning-rate", "Peak learning rate.", defaults.LearningRate, static v => v is > 0 and <= 1e3, "above 0, at most 1000");
        _schedule = new Choice<ScheduleKind>(
            "--schedule", "The learning rate after the warm-up: as it is, or down to 0.", "linear",
            ("constant", ScheduleKind.Constant), ("linear", ScheduleKind.Linear), ("cosine", ScheduleKind.Cosine));
        _warmup = CommonOptions.Count("--warmup-steps", "Steps from rate 0 to the peak.", defaults.WarmupSteps);
        _optimiser = new Choice<OptimiserKind>(
            "--optimizer", "The optimiser.", "adamw",
            ("adamw", OptimiserKind.AdamW), ("sgd", OptimiserKind.Sgd), ("rmsprop", OptimiserKind.RmsProp));
        foreach (var option in new Option[]
        {
            _epochs, _maxSteps, _batchSize, _learningRate, _schedule.Option, _warmup, _maxGradNorm, _optimiser.Option, _weightDecay, _seed, _gradientCheckpointing, _checkpointEvery,
            _keep, _saveFormat.Option, _maxShard,
        })
        {
            command.Add(option);
        }
        _lora = adapters ? new LoraFlags(command) : null;
    }

    /// <param name="preset">Values for the options that were not given; null for the command's defaults.</param>
    public TrainingOptions Read(ParseResult parsed, TrainingOptions? preset = null)
    {
        var optimiser = preset is null || _optimiser.IsGiven(parsed) ? _optimiser.Read(parsed) : preset.Optimiser;
        if (optimiser != OptimiserKind.AdamW && parsed.GetResult(_weightDecay) is { Implicit: false })
        {
            throw new UsageException($"--weight-decay has no effect with --optimizer {_optimiser.NameOf(optimiser)}: leave it out");
        }
        if (parsed.GetValue(_maxSteps) is not null && parsed.GetResult(_epochs) is { Implicit: false })
        {
            throw new UsageException("--max-steps goes in place of --epochs: leave one of them out");
        }
        var (lora, merge) = _lora?.Read(parsed) ?? (null, false);
        return new TrainingOptions
        {
            Epochs = Value(_epochs, preset?.Epochs),
            MaxSteps = parsed.GetValue(_maxSteps),
            BatchSize = Value(_batchSize, preset?.BatchSize),
            LearningRate = Value(_learningRate, preset?.LearningRate),
            Schedule = preset is null || _schedule.IsGiven(parsed) ? _schedule.Read(parsed) : preset.Schedule,
            WarmupSteps = Value(_warmup, preset?.WarmupSteps),
            MaxGradNorm = Value(_maxGradNorm, preset?.MaxGradNorm),
            Optimiser = optimiser,
            WeightDecay = parsed.GetValue(_weightDecay),
            Seed = parsed.GetValue(_seed),
            GradientCheckpointing = parsed.GetValue(_gradientCheckpointing),
            CheckpointEvery = parsed.GetValue(_checkpointEvery),
            KeepCheckpoints = parsed.GetValue(_keep),
            Lora = lora,
            MergeAdapters = merge,
            SaveFormat = _saveFormat.Read(parsed),
            MaxShardBytes = parsed.GetValue(_maxShard),
        };

        T Value<T>(Option<T> option, T? fromPreset)
            where T : struct =>
            fromPreset is { } value && parsed.GetResult(option) is null or { Implicit: true } ? value : parsed.GetValue(option);
    }
}
