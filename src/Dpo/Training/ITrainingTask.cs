using TinyDpo.Kernels;

namespace TinyDpo.Dpo;

/// <summary>What a batch gave: its metrics by name, in the order in which they are written, and the tokens it ran through.</summary>
public sealed record BatchResult(IReadOnlyList<(string Name, double Value)> Metrics, int Tokens)
{
    /// <summary>Floating-point operations that the step needs: <see cref="StepFlops"/>; null where they are not counted.</summary>
    public long? Flops { get; init; }

    public double Loss => Metrics.First(static m => m.Name == "loss").Value;
}

/// <summary>A loss over a set of examples: what a training run minimises.</summary>
public interface ITrainingTask
{
    /// <summary>Number of examples.</summary>
    int Examples { get; }

    /// <summary>Tokens that an example takes, its prompt counted once.</summary>
    int Tokens(int example);

    /// <summary>
    /// Runs forward and backward over a batch, a micro-batch at a time; the gradients of the micro-batches add up to that of the whole.
    /// </summary>
    BatchResult Accumulate(IReadOnlyList<int> batch);

    /// <summary>What a checkpoint must hold besides weights and optimiser, for a resumed run to make the same steps.</summary>
    IReadOnlyList<(string Name, DeviceBuffer Values)> State => [];

    /// <summary>Called after each update of the weights, with the number of updates so far.</summary>
    void Updated(int steps)
    {
    }
}
