using System.Text.Json.Serialization;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

public enum OptimiserKind
{
    AdamW,
    Sgd,
    RmsProp,
}

/// <summary>How a training run goes; the defaults are for a small model.</summary>
public sealed record TrainingOptions
{
    public int Epochs { get; init; } = 1;

    /// <summary>Steps of the whole run, whatever <see cref="Epochs"/> says; null for the epochs'.</summary>
    public int? MaxSteps { get; init; }

    /// <summary>Examples a step; micro-batches add up to it.</summary>
    public int BatchSize { get; init; } = 32;

    public double LearningRate { get; init; } = 3e-4;

    public ScheduleKind Schedule { get; init; } = ScheduleKind.Linear;

    public int WarmupSteps { get; init; }

    /// <summary>Clips the gradient to this global norm; 0 for no clipping.</summary>
    public double MaxGradNorm { get; init; } = 1;

    public OptimiserKind Optimiser { get; init; } = OptimiserKind.AdamW;

    public double WeightDecay { get; init; }

    public ulong Seed { get; init; }

    /// <summary>See <see cref="Transformer.GradientCheckpointing"/>.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool GradientCheckpointing { get; init; }

    /// <summary>Steps between checkpoints; 0 for none but the one that an interruption makes.</summary>
    public int CheckpointEvery { get; init; }

    /// <summary>Checkpoints kept, the newest.</summary>
    public int KeepCheckpoints { get; init; } = 2;

    /// <summary>Adapters to train in place of the weights; null for the weights.</summary>
    public LoraOptions? Lora { get; init; }

    /// <summary>Whether the trained adapters are added to the weights in the model that is saved.</summary>
    public bool MergeAdapters { get; init; }

    /// <summary>Of the trained model's weights in its file; a checkpoint keeps every bit.</summary>
    public NumberFormat SaveFormat { get; init; } = NumberFormat.F32;

    /// <summary>The most bytes of weights in a file, of the trained model and of checkpoints: see <see cref="ShardedWriter"/>.</summary>
    public long MaxShardBytes { get; init; } = ShardedWriter.DefaultShardBytes;

    /// <summary>Batches that an epoch over so many examples takes, at least 1.</summary>
    public int StepsPerEpoch(int examples) => 1 + (Math.Max(0, examples - 1) / BatchSize);

    /// <summary>Steps of the whole run.</summary>
    /// <exception cref="InputException">More than an int counts.</exception>
    public int TotalSteps(int examples)
    {
        if (MaxSteps is { } given)
        {
            return given;
        }
        var steps = (long)StepsPerEpoch(examples) * Epochs;
        return steps <= int.MaxValue
            ? (int)steps
            : throw new InputException(
                "--epochs", null, $"{Epochs} epochs of {StepsPerEpoch(examples)} steps are {steps} steps, more than the {int.MaxValue} that a run can have",
                "give fewer epochs");
    }

    /// <summary>What a run and the one that resumes it must share: all but what changes no bit of its steps.</summary>
    internal TrainingOptions Key() => this with
    {
        CheckpointEvery = 0,
        KeepCheckpoints = 0,
        MaxShardBytes = 0,
        GradientCheckpointing = false,
        SaveFormat = NumberFormat.F32,
        MergeAdapters = false,
    };

    public Optimiser CreateOptimiser(ParameterSet parameters) => Optimiser switch
    {
        OptimiserKind.AdamW => new AdamW(parameters, weightDecay: WeightDecay),
        OptimiserKind.Sgd => new Sgd(parameters),
        OptimiserKind.RmsProp => new RmsProp(parameters),
        _ => throw new InvalidOperationException($"unknown optimiser {Optimiser}"),
    };
}
