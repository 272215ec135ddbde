using System.CommandLine;
using TinyDpo.Dpo;
using TinyDpo.Tensors;

namespace TinyDpo.Cli;

/// <summary>How a training run goes: the options that sft and dpo share.</summary>
internal sealed class TrainingFlags
{
    private readonly Option<int> _epochs;
    private readonly Option<int> _batchSize;
    private readonly Option<double> _learningRate;
    private readonly Option<ScheduleKind> _schedule;
    private readonly Option<int> _warmup;
    private readonly Option<double> _maxGradNorm = CommonOptions.Real("--max-grad-norm", "Clips the gradient to this norm; 0 for no clipping.", 1, 0, 1e9);
    private readonly Option<OptimiserKind> _optimiser;
    private readonly Option<double> _weightDecay = CommonOptions.Real("--weight-decay", "Decoupled weight decay of AdamW.", 0, 0, 1);
    private readonly Option<ulong> _seed = CommonOptions.Seed();
    private readonly Option<int> _checkpointEvery = CommonOptions.Count("--checkpoint-every", "Steps between checkpoints; 0 for none but Ctrl-C's.", 100);
    private readonly Option<int> _keep = CommonOptions.Positive("--keep-checkpoints", "Checkpoints kept, the newest.", 2);

    public TrainingFlags(Command command, TrainingOptions defaults)
    {
        _epochs = CommonOptions.Positive("--epochs", "Passes over the data.", defaults.Epochs);
        _batchSize = CommonOptions.Positive("--batch-size", "Examples a step.", defaults.BatchSize);
        _learningRate = CommonOptions.Real("--learning-rate", "Peak learning rate.", defaults.LearningRate, 0, 1e3);
        _schedule = new Option<ScheduleKind>("--schedule") { Description = "After the warm-up.", DefaultValueFactory = _ => defaults.Schedule };
        _warmup = CommonOptions.Count("--warmup-steps", "Steps from rate 0 to the peak.", defaults.WarmupSteps);
        _optimiser = new Option<OptimiserKind>("--optimizer") { Description = "The optimiser.", DefaultValueFactory = _ => defaults.Optimiser };
        foreach (var option in new Option[]
        {
            _epochs, _batchSize, _learningRate, _schedule, _warmup, _maxGradNorm, _optimiser, _weightDecay, _seed, _checkpointEvery, _keep,
        })
        {
            command.Add(option);
        }
    }

    /// <param name="preset">Values for the options that were not given; null for the command's defaults.</param>
    public TrainingOptions Read(ParseResult parsed, TrainingOptions? preset = null)
    {
        var optimiser = Value(_optimiser, preset?.Optimiser);
        if (optimiser != OptimiserKind.AdamW && parsed.GetResult(_weightDecay) is { Implicit: false })
        {
            throw new UsageException($"--weight-decay has no effect with --optimizer {optimiser}: leave it out");
        }
        return new TrainingOptions
        {
            Epochs = Value(_epochs, preset?.Epochs),
            BatchSize = Value(_batchSize, preset?.BatchSize),
            LearningRate = Value(_learningRate, preset?.LearningRate),
            Schedule = Value(_schedule, preset?.Schedule),
            WarmupSteps = Value(_warmup, preset?.WarmupSteps),
            MaxGradNorm = Value(_maxGradNorm, preset?.MaxGradNorm),
            Optimiser = optimiser,
            WeightDecay = parsed.GetValue(_weightDecay),
            Seed = parsed.GetValue(_seed),
            CheckpointEvery = parsed.GetValue(_checkpointEvery),
            KeepCheckpoints = parsed.GetValue(_keep),
        };

        T Value<T>(Option<T> option, T? fromPreset)
            where T : struct =>
            fromPreset is { } value && parsed.GetResult(option) is null or { Implicit: true } ? value : parsed.GetValue(option);
    }
}
