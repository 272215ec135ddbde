namespace TinyDpo.Dpo;

/// <summary>The sizes of the demonstration.</summary>
public sealed record DemoOptions
{
    public required string Out { get; init; }

    public ulong Seed { get; init; } = 1;

    public World World { get; init; } = World.Reviews;

    public int VocabSize { get; init; } = 1024;

    public int HiddenSize { get; init; } = 64;

    public int Layers { get; init; } = 2;

    public int Heads { get; init; } = 4;

    public int IntermediateSize { get; init; } = 176;

    public int SftTexts { get; init; } = 12_000;

    public TrainingOptions Sft { get; init; } = new() { Epochs = 7, BatchSize = 16, LearningRate = 3e-3, WarmupSteps = 100 };

    /// <summary>Prompts of which four completions each are sampled and paired, six pairs a prompt.</summary>
    public int PairPrompts { get; init; } = 1000;

    public double Beta { get; init; } = 0.5;

    public TrainingOptions Dpo { get; init; } = new() { Epochs = 3, BatchSize = 32, LearningRate = 3e-4, WarmupSteps = 10 };

    /// <summary>Held-out prefixes for the evaluation.</summary>
    public int HeldOut { get; init; } = 1000;

    /// <summary>The longest completion, in tokens.</summary>
    public int MaxTokens { get; init; } = 64;

    /// <summary>What options.json holds.</summary>
    internal object Recorded() => new
    {
        Command = DemoFolder.Command,
        Seed,
        World = World.Name,
        VocabSize,
        HiddenSize,
        Layers,
        Heads,
        IntermediateSize,
        SftTexts,
        Sft = Sft with { Seed = Seed },
        PairPrompts,
        Beta,
        Dpo = Dpo with { Seed = Seed },
        HeldOut,
        MaxTokens,
    };

    /// <summary>The same on a smaller scale, in half a minute, with no promise on the figures but the reward's rise.</summary>
    public static DemoOptions Quick(string folder, ulong seed) => new()
    {
        Out = folder,
        Seed = seed,
        SftTexts = 6000,
        Sft = new TrainingOptions { Epochs = 3, BatchSize = 16, LearningRate = 3e-3, WarmupSteps = 50 },
        PairPrompts = 200,
        Dpo = new TrainingOptions { Epochs = 2, BatchSize = 32, LearningRate = 3e-4, WarmupSteps = 5 },
        HeldOut = 250,
    };
}
