using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Dpo;

/// <summary>
/// AOT (Melnyk et al. 2024, "Distributional preference alignment via optimal transport"): not a pair's own
/// numbers are compared but those of equal rank in the batch, so that one distribution comes to dominate the other.
/// </summary>
public abstract record AotLosses(double Beta, double LabelSmoothing) : IPreferenceLoss
{
    public double Beta { get; } = Beta > 0 ? Beta : throw new ArgumentOutOfRangeException(nameof(Beta), Beta, "must be above 0");

    public double LabelSmoothing { get; } = ScoreLoss.ValidSmoothing(LabelSmoothing);

    public double? AtReference => Math.Log(2);

    public LossInputs Inputs => LossInputs.WholeBatch;

    public Tensor PerPair(PreferenceBatch batch)
    {
        var (upper, lower) = Compared(batch);
        return ScoreLoss.Smoothed(Beta * (upper - AtEqualRank(lower, upper)), LabelSmoothing);
    }

    /// <summary>The two distributions: the first is to dominate the second.</summary>
    protected abstract (Tensor Upper, Tensor Lower) Compared(PreferenceBatch batch);

    /// <summary>For each element of <paramref name="places"/> the element of <paramref name="values"/> of the same rank; equals keep their order.</summary>
    private static Tensor AtEqualRank(Tensor values, Tensor places)
    {
        var (sorted, order) = (Order(values), Order(places));
        var index = new int[sorted.Length];
        for (var rank = 0; rank < index.Length; rank++)
        {
            index[order[rank]] = sorted[rank];
        }
        var rows = values.Backend.Memory.RentIndex(index.Length);
        values.Backend.Upload(index, rows);
        return RowGather(values, rows);

        static int[] Order(Tensor x)
        {
            var numbers = x.ToArray();
            return [.. Enumerable.Range(0, numbers.Length).OrderBy(i => numbers[i])];
        }
    }
}

/// <summary>The policy's log pi(y_w) - log pi(y_l) against the reference's.</summary>
public sealed record AotLoss(double Beta = 0.1, double LabelSmoothing = 0) : AotLosses(Beta, LabelSmoothing)
{
    protected override (Tensor Upper, Tensor Lower) Compared(PreferenceBatch batch) =>
        (batch.Policy.Chosen - batch.Policy.Rejected, batch.Reference.Chosen - batch.Reference.Rejected);
}

/// <summary>The log-ratios of chosen completions against those of rejected ones.</summary>
public sealed record AotUnpairedLoss(double Beta = 0.1, double LabelSmoothing = 0) : AotLosses(Beta, LabelSmoothing)
{
    protected override (Tensor Upper, Tensor Lower) Compared(PreferenceBatch batch) => (batch.LogRatios.Chosen, batch.LogRatios.Rejected);
}
