using System.Text.Json.Serialization;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>What `tinydpo score` is asked for.</summary>
public sealed record ScoreRunOptions
{
    public required string Policy { get; init; }

    public required string Reference { get; init; }

    public string? Tokenizer { get; init; }

    public required string Data { get; init; }

    /// <summary>How conversations become text; null for the tokenizer's own template.</summary>
    public ChatTemplate? Template { get; init; }

    public required IPreferenceLoss Loss { get; init; }
}

/// <summary>Every quantity of a preference loss for one pair. Rewards are the implicit ones, beta log(pi / pi_ref).</summary>
public sealed record PairScore(
    [property: JsonPropertyName("chosen_logp")] double ChosenLogProb,
    [property: JsonPropertyName("rejected_logp")] double RejectedLogProb,
    [property: JsonPropertyName("reference_chosen_logp")] double ReferenceChosenLogProb,
    [property: JsonPropertyName("reference_rejected_logp")] double ReferenceRejectedLogProb,
    [property: JsonPropertyName("chosen_reward")] double ChosenReward,
    [property: JsonPropertyName("rejected_reward")] double RejectedReward,
    [property: JsonPropertyName("margin")] double Margin,
    [property: JsonPropertyName("loss")] double Loss,
    [property: JsonPropertyName("d_chosen")] double LossByChosenLogProb,
    [property: JsonPropertyName("d_rejected")] double LossByRejectedLogProb)
{
    /// <summary>What the loss makes of the log-probs, by name.</summary>
    internal IEnumerable<(string Name, double Value)> OfLoss =>
        [("loss", Loss), ("d_chosen", LossByChosenLogProb), ("d_rejected", LossByRejectedLogProb)];
}

/// <summary>The same for an unpaired row's completion.</summary>
/// <param name="Label">Whether it is desirable.</param>
public sealed record CompletionScore(
    [property: JsonPropertyName("label")] bool Label,
    [property: JsonPropertyName("logp")] double LogProb,
    [property: JsonPropertyName("reference_logp")] double ReferenceLogProb,
    [property: JsonPropertyName("reward")] double Reward,
    [property: JsonPropertyName("loss")] double Loss,
    [property: JsonPropertyName("d_logp")] double LossByLogProb)
{
    internal static CompletionScore Of(bool isChosen, PairScore s) => isChosen
        ? new(true, s.ChosenLogProb, s.ReferenceChosenLogProb, s.ChosenReward, s.Loss, s.LossByChosenLogProb)
        : new(false, s.RejectedLogProb, s.ReferenceRejectedLogProb, s.RejectedReward, s.Loss, s.LossByRejectedLogProb);
}

/// <summary>Scores pairs under a policy and a reference; nothing is trained.</summary>
public static class ScoreRun
{
    /// <summary>A <see cref="PairScore"/> a pair, a <see cref="CompletionScore"/> an unpaired row; each made when it is asked for.</summary>
    /// <exception cref="InputException">Bad input.</exception>
    public static IEnumerable<object> Run(ScoreRunOptions options, IBackend backend, IRunLog log, CancellationToken cancellation)
    {
        var (policy, reference, _, read, positions) =
            ScoredPairs.Load(options.Policy, options.Reference, options.Tokenizer, options.Data, options.Template, backend, log);
        using var pairs = read;
        RunChecks.RequirePairsFor(options.Loss, pairs, options.Data);
        log.Stage("reference", pairs.Count);
        var r = RunChecks.RequireFinite(
            ReferenceLogProbs.OfReference(reference, pairs, options.Loss, positions, done: n => log.Advance(n), cancellation: cancellation),
            pairs, options.Reference, options.Data);
        log.Stage("policy", pairs.Count);
        var p = RunChecks.RequireFinite(
            ReferenceLogProbs.OfPolicy(policy, pairs, r, options.Loss, done: n => log.Advance(n), cancellation: cancellation),
            pairs, options.Policy, options.Data);
        var lengths = PairLengths.Of(pairs);
        var scores = Score(backend, options.Loss, p, r, lengths);
        foreach (var (pair, score) in pairs.Zip(scores))
        {
            RunChecks.RequireFinite(score.OfLoss, options.Data, pair.Line);
        }
        return scores.Select((score, i) => lengths.Chosen[i] > 0 && lengths.Rejected[i] > 0
            ? (object)score
            : CompletionScore.Of(isChosen: lengths.Rejected[i] == 0, score));
    }

    /// <summary>
    /// The loss of each pair and its derivatives by both policy log-probs, from the loss's own backward pass. All pairs are one batch:
    /// where a loss compares pairs with each other, the derivatives are those of the sum of their losses.
    /// </summary>
    public static IEnumerable<PairScore> Score(
        IBackend backend, IPreferenceLoss loss, ReferenceLogProbs policy, ReferenceLogProbs reference, PairLengths lengths)
    {
        using var step = new StepScope(backend);
        var batch = ReferenceLogProbs.Batch(backend, policy, reference, lengths, requiresGrad: true);
        var perPair = loss.PerPair(batch);
        var values = perPair.ToArray();
        perPair.Sum().Backward();
        var (dChosen, dRejected) = (batch.Policy.Chosen.GradToArray(), batch.Policy.Rejected.GradToArray());
        return values.Select((value, i) =>
        {
            var chosen = loss.Beta * ((double)policy.Chosen[i] - reference.Chosen[i]);
            var rejected = loss.Beta * ((double)policy.Rejected[i] - reference.Rejected[i]);
            return new PairScore(
                policy.Chosen[i], policy.Rejected[i], reference.Chosen[i], reference.Rejected[i], chosen, rejected, chosen - rejected, value,
                dChosen[i], dRejected[i]);
        });
    }
}
