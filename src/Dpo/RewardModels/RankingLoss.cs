using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Dpo;

/// <summary>
/// The negative log-likelihood of rankings under Plackett-Luce (Plackett 1975; Luce 1959; Rafailov et al. 2023, equation 18): of what is left,
/// each next answer is chosen with a probability in proportion to exp(score). For two answers it is Bradley-Terry's loss (equation 2),
/// -log sigmoid(r(x, y_w) - r(x, y_l)).
/// </summary>
public static class RankingLoss
{
    /// <summary>The loss of one pair, or ranking, of which all scores are equal.</summary>
    public static double AtEqualScores(int answers) => Enumerable.Range(1, answers).Sum(static n => Math.Log(n));

    /// <summary>The loss of each ranking, [rankings].</summary>
    /// <param name="scores">The scores of the best answers, then of the second best, and so on: at least two tensors [rankings].</param>
    public static Tensor PerRanking(IReadOnlyList<Tensor> scores)
    {
        // With L_k = log sum over j >= k of exp(s_j), choice k costs L_k - s_k = -log sigmoid(s_k - L_(k+1)), stable for any scores.
        var logSum = scores[^1];
        Tensor? loss = null;
        for (var k = scores.Count - 2; k >= 0; k--)
        {
            var choice = -LogSigmoid(scores[k] - logSum);
            loss = loss is null ? choice : loss + choice;
            logSum = scores[k] + choice;
        }
        return loss ?? throw new ArgumentException("a ranking needs two answers");
    }
}
