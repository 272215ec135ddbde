using TinyDpo.Kernels;

namespace TinyDpo.Dpo;

/// <summary>
/// What a training run takes, all in bytes unless said otherwise. The pool's part is what the run itself asks a backend for: its code is
/// walked through on a <see cref="DryBackend"/>.
/// </summary>
/// <param name="Parameters">Weights, adapters and tables of angles.</param>
/// <param name="Gradients">Of what is trained.</param>
/// <param name="OptimiserState">Moments.</param>
/// <param name="Reference">A reference that is a model of its own; 0 where the policy serves.</param>
/// <param name="Examples">Rows of the data.</param>
/// <param name="Steps">Of the whole run.</param>
/// <param name="Epochs">Passes over the data.</param>
/// <param name="FlopsPerStep">Floating-point operations of a step, the mean of those walked through; layers computed again count twice.</param>
public sealed record RunNeeds(
    long Parameters, long Gradients, long OptimiserState, long Reference, int Examples, int Steps, int Epochs, double FlopsPerStep)
{
    /// <summary>All that the backend's pool comes to hold: the four above and what the micro-batches take.</summary>
    public long Pool { get; init; }

    /// <summary>What kernels of the CPU take beside the pool.</summary>
    public long Scratch { get; init; }

    /// <summary>The tokens of the largest micro-batch.</summary>
    public int LargestMicroBatch { get; init; }

    /// <summary>Activations and their gradients, of micro-batches of every size: they share most blocks of the pool, not all.</summary>
    public long Activations => Pool - Parameters - Gradients - OptimiserState - Reference;

    public long Total => Pool + Scratch;

    /// <summary>Walks through a run.</summary>
    /// <param name="run">The run, with DryRun set, on the backend that it is given.</param>
    /// <param name="threads">Of the CPU's kernels.</param>
    /// <param name="device">The device that the run is meant for; null for the CPU.</param>
    public static RunNeeds Of(Func<IBackend, TrainingResult> run, int threads, DryBackend? device = null)
    {
        using var dry = device ?? new DryBackend();
        var needs = run(new MeasuredBackend(dry)).Needs ?? throw new InvalidOperationException("the run was not a dry one");
        return needs with
        {
            Pool = dry.Memory.Bytes,
            Scratch = CpuBackend.ScratchBytes(threads, dry.AttentionScratchBytes),
            LargestMicroBatch = dry.MostTokensTrained,
        };
    }

    /// <summary>What would make the run smaller, the greatest help first: options by name, each with what it takes away.</summary>
    /// <param name="options">Those of the run.</param>
    /// <param name="tokenBudget">The most tokens of its micro-batches.</param>
    /// <param name="adapters">Whether the command can train adapters.</param>
    public IReadOnlyList<string> Remedies(TrainingOptions options, int tokenBudget, bool adapters)
    {
        var remedies = new List<(long Saves, string Text)>();
        if (adapters && options.Lora is null)
        {
            remedies.Add((Gradients + OptimiserState, "--lora-rank 8 trains adapters: next to no gradients and optimizer state, and no second model for a reference"));
        }
        if (!options.GradientCheckpointing)
        {
            remedies.Add((Activations / 2, "--gradient-checkpointing keeps a layer's input alone: less activations, a third more time"));
        }
        var half = Math.Min(tokenBudget, LargestMicroBatch) / 2;
        if (half > 0)
        {
            remedies.Add((Activations / 3, $"--token-budget {half} halves the micro-batches, unless one example is longer: less activations"));
        }
        if (options.Optimiser == OptimiserKind.AdamW)
        {
            remedies.Add((OptimiserState / 2, "--optimizer rmsprop keeps one number a parameter instead of AdamW's two"));
        }
        return [.. remedies.OrderByDescending(static r => r.Saves).Select(static r => r.Text)];
    }
}
