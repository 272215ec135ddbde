using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>
/// Each pair's prompt with the completions of the next pair, the last with the first's, and a model's log-probs of them: what it says when
/// nobody asked for it. The log-ratios estimate KTO's reference point (Ethayarajh et al. 2024, section 4.2).
/// </summary>
public sealed record MismatchedPairs(IReadOnlyList<PreferencePair> Pairs, ReferenceLogProbs LogProbs)
{
    /// <param name="pairs">In an order that does not change while a run goes on.</param>
    /// <param name="positions">The context: longer completions are cut.</param>
    public static IReadOnlyList<PreferencePair> Of(IReadOnlyList<PreferencePair> pairs, int positions)
    {
        return new MappedList<PreferencePair>(pairs.Count, Mismatched);

        PreferencePair Mismatched(int i)
        {
            var (pair, next) = (pairs[i], pairs[(i + 1) % pairs.Count]);
            var room = Math.Max(1, positions - pair.Prompt.Length + 1); // a completion's last token takes no position
            return pair with { Chosen = Cut(next.Chosen), Rejected = Cut(next.Rejected) };

            int[] Cut(int[] completion) => completion[..Math.Min(completion.Length, room)];
        }
    }

    /// <summary>Runs a model over pairs that are mismatched.</summary>
    public static MismatchedPairs Under(
        Transformer model, IReadOnlyList<PreferencePair> mismatched, int tokenBudget, CancellationToken cancellation = default) =>
        new MismatchedPairs(mismatched, new ReferenceLogProbs([], [])).Under(model, tokenBudget, cancellation);

    /// <summary>The same pairs under another model.</summary>
    public MismatchedPairs Under(Transformer model, int tokenBudget, CancellationToken cancellation = default) =>
        this with { LogProbs = ReferenceLogProbs.Compute(model, Pairs, tokenBudget, cancellation: cancellation) };

    public MismatchedPairs At(IReadOnlyList<int> pairs) => new([.. pairs.Select(i => Pairs[i])], LogProbs.At(pairs));

    /// <summary>log(pi / pi_ref) of every completion, with these as the policy's; null where the reference has none.</summary>
    public double[]? Ratios(MismatchedPairs? reference)
    {
        return reference is null
            ? null
            : [.. Of(static p => p.Chosen, static l => l.Chosen), .. Of(static p => p.Rejected, static l => l.Rejected)];

        IEnumerable<double> Of(Func<PreferencePair, int[]> completion, Func<ReferenceLogProbs, Real[]> logProbs) =>
            from i in Enumerable.Range(0, Pairs.Count)
            where completion(Pairs[i]).Length > 0
            select (double)logProbs(LogProbs)[i] - logProbs(reference.LogProbs)[i];
    }
}
