using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>
/// The mean loss of a batch and its derivatives by the policy's log-probs, a pair each: enough to get the gradient by the weights from
/// micro-batches, whatever pairs the loss compares (Gao et al. 2021, "Scaling deep contrastive learning batch size", GradCache).
/// </summary>
internal sealed record BatchSlopes(double Loss, Real[] ByChosen, Real[] ByRejected, Real[]? ByPrompt)
{
    /// <param name="loss">The loss.</param>
    /// <param name="batch">Its policy log-probs, and prompts, are leaves that require a gradient.</param>
    public static BatchSlopes Of(IPreferenceLoss loss, PreferenceBatch batch)
    {
        var mean = loss.PerPair(batch).Mean();
        var value = mean.Item();
        mean.Backward();
        return new BatchSlopes(value, batch.Policy.Chosen.GradToArray(), batch.Policy.Rejected.GradToArray(), batch.Prompts?.GradToArray());
    }

    /// <summary>The loss's linear part in the log-probs of the pairs [from, from + count): a scalar with the same gradient.</summary>
    public Tensor Linear(PreferenceBatch part, int from, int count)
    {
        var sum = (part.Policy.Chosen * Slope(ByChosen)).Sum() + (part.Policy.Rejected * Slope(ByRejected)).Sum();
        return part.Prompts is null || ByPrompt is null ? sum : sum + (part.Prompts * Slope(ByPrompt)).Sum();

        Tensor Slope(Real[] slopes) => part.Constant(slopes[from..(from + count)]);
    }
}
