namespace TinyDpo.Dpo;

/// <summary>The reference's log-probs of those pairs alone that a run comes to.</summary>
/// <param name="known">Their log-probs, in the order of <paramref name="examples"/>.</param>
/// <param name="examples">Their indices in the run, ascending.</param>
internal sealed class ReachedReference(ReferenceLogProbs known, int[] examples) : IReferenceSource
{
    public ReferenceLogProbs At(IReadOnlyList<int> batch) => known.At([.. batch.Select(i => Array.BinarySearch(examples, i))]);
}
