using System.Text.Json.Serialization;

namespace TinyDpo.Dpo;

/// <summary>A completion's token in the gradient of its pair's loss.</summary>
/// <param name="Completion">chosen or rejected.</param>
/// <param name="LogProb">log pi of the token after those before it, under the policy.</param>
/// <param name="ReferenceLogProb">The same under the reference.</param>
/// <param name="GradientNorm">The L2 norm of the gradient of <paramref name="LogProb"/> by the weights.</param>
/// <param name="Share">
/// The token's part of the pair's gradient G: d g_t . G / |G|^2, where g_t is its own gradient and d the loss's derivative by its
/// completion's log-prob. The shares of a pair sum to 1; one below 0 works against the rest. Null where G is 0.
/// </param>
public sealed record TokenExplanation(
    [property: JsonPropertyName("completion")] string Completion,
    [property: JsonPropertyName("token")] int Token,
    [property: JsonPropertyName("text")] string? Text,
    [property: JsonPropertyName("logp")] double LogProb,
    [property: JsonPropertyName("reference_logp")] double ReferenceLogProb,
    [property: JsonPropertyName("grad_norm")] double GradientNorm,
    [property: JsonPropertyName("share")] double? Share);

/// <summary>
/// The gradient of one pair's loss taken apart, after the gradient of equation 7 of Rafailov et al. 2023:
/// -beta sigma(-margin) (grad log pi(y_w) - grad log pi(y_l)).
/// </summary>
/// <param name="Line">The pair's line in its file.</param>
/// <param name="Score">Log-probs, implicit rewards, margin, the loss and its derivatives by both log-probs.</param>
/// <param name="Weight">beta sigma(-margin): how wrong the implicit rewards order the pair; beta / 2 without the weight. Of another loss minus its derivative by log pi(y_w).</param>
/// <param name="ChosenGradientNorm">|grad log pi(y_w)|, L2 over all weights.</param>
/// <param name="RejectedGradientNorm">|grad log pi(y_l)|.</param>
/// <param name="Cosine">Of the angle between those two; null where one is 0.</param>
/// <param name="GradientNorm">The norm of the gradient of the pair's loss.</param>
/// <param name="PredictedChosen">Change of log pi(y_w) by one step of the optimiser on this pair alone, to first order: grad log pi(y_w) . step.</param>
/// <param name="PredictedRejected">The same of log pi(y_l).</param>
/// <param name="MeasuredChosen">The change that happened.</param>
/// <param name="MeasuredRejected">The same of log pi(y_l).</param>
/// <param name="Tokens">All of the chosen, then all of the rejected completion; null where not asked for.</param>
public sealed record PairExplanation(
    [property: JsonPropertyName("line")] int Line,
    [property: JsonPropertyName("score")] PairScore Score,
    [property: JsonPropertyName("weight")] double Weight,
    [property: JsonPropertyName("chosen_grad_norm")] double ChosenGradientNorm,
    [property: JsonPropertyName("rejected_grad_norm")] double RejectedGradientNorm,
    [property: JsonPropertyName("cosine")] double? Cosine,
    [property: JsonPropertyName("grad_norm")] double GradientNorm,
    [property: JsonPropertyName("predicted_chosen")] double PredictedChosen,
    [property: JsonPropertyName("predicted_rejected")] double PredictedRejected,
    [property: JsonPropertyName("measured_chosen")] double MeasuredChosen,
    [property: JsonPropertyName("measured_rejected")] double MeasuredRejected,
    [property: JsonPropertyName("tokens"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<TokenExplanation>? Tokens)
{
    /// <summary>All numbers but those of log-probs, by name.</summary>
    internal IEnumerable<(string Name, double Value)> Quantities =>
    [
        .. Score.OfLoss, ("weight", Weight), ("chosen_grad_norm", ChosenGradientNorm), ("rejected_grad_norm", RejectedGradientNorm),
        ("cosine", Cosine ?? 0), ("grad_norm", GradientNorm), ("predicted_chosen", PredictedChosen), ("predicted_rejected", PredictedRejected),
        ("measured_chosen", MeasuredChosen), ("measured_rejected", MeasuredRejected), .. (Tokens ?? []).Select(static t => ("share", t.Share ?? 0)),
    ];
}

/// <summary>Which pairs of a data set carry its gradient.</summary>
/// <param name="Pairs">Number of pairs.</param>
/// <param name="TopTenthShare">The share of the sum of the pairs' gradient norms that the tenth with the largest (rounded up) holds; null where all are 0.</param>
/// <param name="PairsWithHalf">The fewest pairs whose norms make half of the sum.</param>
/// <param name="PredictedFalls">Pairs whose chosen log-prob falls to first order: likelihood displacement.</param>
/// <param name="MeasuredFalls">Pairs whose chosen log-prob fell.</param>
public sealed record ExplanationSummary(
    [property: JsonPropertyName("pairs")] int Pairs,
    [property: JsonPropertyName("top_tenth_share")] double? TopTenthShare,
    [property: JsonPropertyName("pairs_with_half")] int PairsWithHalf,
    [property: JsonPropertyName("predicted_falls")] int PredictedFalls,
    [property: JsonPropertyName("measured_falls")] int MeasuredFalls)
{
    public static ExplanationSummary Of(IReadOnlyList<PairExplanation> pairs)
    {
        double[] norms = [.. pairs.Select(static p => p.GradientNorm).OrderDescending()];
        var total = norms.Sum();
        var (half, held) = (0, 0.0);
        while (half < norms.Length && held < total / 2)
        {
            held += norms[half++];
        }
        return new ExplanationSummary(
            pairs.Count, total > 0 ? norms.Take((norms.Length + 9) / 10).Sum() / total : null, half,
            pairs.Count(static p => p.PredictedChosen < 0), pairs.Count(static p => p.MeasuredChosen < 0));
    }
}
