namespace TinyDpo.Dpo;

/// <summary>The summarisation experiment: files and sizes.</summary>
public sealed record SummariseOptions
{
    /// <summary>Where runs and tables go.</summary>
    public required string Out { get; init; }

    /// <summary>Texts with summaries to train on: see <see cref="SummaryData"/>.</summary>
    public required string Data { get; init; }

    /// <summary>Others, to measure on.</summary>
    public required string HeldOut { get; init; }

    /// <summary>Seeds 1 to this.</summary>
    public int Seeds { get; init; } = 1;

    public int VocabSize { get; init; } = 2048;

    public int HiddenSize { get; init; } = 128;

    public int Layers { get; init; } = 4;

    public int Heads { get; init; } = 4;

    public int IntermediateSize { get; init; } = 352;

    /// <summary>The model's context in tokens; a source that leaves no room for a summary is cut at its end.</summary>
    public int Context { get; init; } = 320;

    /// <summary>The longest summary, in tokens, its end included.</summary>
    public int MaxTokens { get; init; } = 64;

    /// <summary>Training from scratch on whole rows, source and summary.</summary>
    public TrainingOptions Language { get; init; } = new() { Epochs = 4, BatchSize = 16, LearningRate = 3e-3, WarmupSteps = 50 };

    /// <summary>Then on the summaries alone, behind their sources.</summary>
    public TrainingOptions Sft { get; init; } = new() { Epochs = 1, BatchSize = 16, LearningRate = 1e-3, WarmupSteps = 10 };

    /// <summary>Summaries sampled a source; the best and the worst make a pair.</summary>
    public int Completions { get; init; } = 4;

    /// <summary>Training on the pairs.</summary>
    public TrainingOptions Preference { get; init; } = new() { Epochs = 1, BatchSize = 32, LearningRate = 3e-4, WarmupSteps = 5 };

    public double[] DpoBetas { get; init; } = [0.1, 0.5];

    /// <summary>Sampling temperatures that answers are measured at; 1, which the KL is measured at, must be among them.</summary>
    public double[] Temperatures { get; init; } = [0, 1];

    /// <summary>Held-out texts whose summaries are written out side by side.</summary>
    public int Shown { get; init; } = 3;

    /// <summary>A few steps of each: that it runs.</summary>
    public SummariseOptions Quick() => this with
    {
        VocabSize = 512,
        HiddenSize = 32,
        Layers = 2,
        IntermediateSize = 88,
        Context = 96,
        MaxTokens = 24,
        Language = Language with { Epochs = 1 },
        DpoBetas = [0.5],
    };
}
