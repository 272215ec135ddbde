namespace TinyDpo.Dpo;

/// <summary>The sentiment experiment with a real model: files and sizes.</summary>
public sealed record SentimentOptions
{
    /// <summary>Where runs, table and figure go.</summary>
    public required string Out { get; init; }

    /// <summary>What is trained, and the reference.</summary>
    public required string Model { get; init; }

    public string? Tokenizer { get; init; }

    /// <summary>A file of prompts to train on.</summary>
    public required string Prompts { get; init; }

    /// <summary>A file of others, to measure on.</summary>
    public required string HeldOut { get; init; }

    /// <summary>The truth.</summary>
    public required IReward Reward { get; init; }

    /// <summary>Seeds 1 to this.</summary>
    public int Seeds { get; init; } = 1;

    /// <summary>Completions sampled a prompt; every two of different reward make a pair.</summary>
    public int Completions { get; init; } = 4;

    /// <summary>The longest completion, in tokens.</summary>
    public int MaxTokens { get; init; } = 64;

    public TrainingOptions Training { get; init; } = new() { BatchSize = 32, LearningRate = 1e-4, WarmupSteps = 5 };

    public double[] DpoBetas { get; init; } = [0.1, 0.3];

    /// <summary>KL per sequence, in nats, that PPO steers to.</summary>
    public double[] PpoTargets { get; init; } = [3];

    /// <summary>PPO's other options; seed, target and length are the run's own.</summary>
    public PpoOptions Ppo { get; init; } = new() { Iterations = 32, Rollouts = 128, Epochs = 2, MiniBatchSize = 64, KlCoefficient = 0.5, KlGain = 1, LearningRate = 1e-4 };

    /// <summary>Measurements along a training run, at its end and at 1/2, 1/4, 1/8 of its steps and so on.</summary>
    public int Checkpoints { get; init; } = 4;

    /// <summary>Held-out prompts, and completions of each, for best-of-N and the ceiling.</summary>
    public int PoolPrompts { get; init; } = 60;

    public int PoolCompletions { get; init; } = 64;

    /// <summary>The table's bounds on the KL, in nats a sequence.</summary>
    public double[] KlBounds { get; init; } = [1, 2, 4, 8];

    /// <summary>A few steps of each: that it runs.</summary>
    public SentimentOptions Quick() => this with
    {
        Completions = 2,
        MaxTokens = 16,
        DpoBetas = [0.3],
        PpoTargets = [1],
        Ppo = Ppo with { Iterations = 2, Rollouts = 16, MiniBatchSize = 16 },
        Checkpoints = 1,
        PoolPrompts = 4,
        PoolCompletions = 4,
    };
}
