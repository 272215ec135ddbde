using TinyDpo.Kernels;

namespace TinyDpo.Dpo;

/// <summary>Which examples each step takes: every epoch goes through all of them once, shuffled anew by the seed.</summary>
/// <param name="options">Seed and batch size.</param>
/// <param name="examples">How many there are.</param>
internal sealed class BatchOrder(TrainingOptions options, int examples)
{
    private (int Epoch, int[] Examples) _order = (-1, []);

    public int StepsPerEpoch { get; } = options.StepsPerEpoch(examples);

    /// <summary>The indices of a step's examples. An epoch's last batch may be short.</summary>
    public int[] Batch(int step)
    {
        var (epoch, at) = (step / StepsPerEpoch, step % StepsPerEpoch);
        if (_order.Epoch != epoch)
        {
            _order = (epoch, Philox.Permutation(options.Seed, RandomPurpose.Shuffle, epoch, examples));
        }
        var start = at * options.BatchSize;
        return _order.Examples[start..(start + Math.Min(options.BatchSize, examples - start))];
    }

    /// <summary>The examples that a whole run comes to, in ascending order; null for all, which an epoch has.</summary>
    public int[]? Reached() => options.TotalSteps(examples) is var steps && steps < StepsPerEpoch
        ? [.. Enumerable.Range(0, steps).SelectMany(Batch).Order()]
        : null;
}
