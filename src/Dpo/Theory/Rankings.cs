namespace TinyDpo.Dpo;

/// <summary>
/// The Plackett-Luce model of rankings (the paper's equation 18): the best is chosen in proportion to exp(score), then the next best of
/// those that are left, and so on. With two answers it is Bradley-Terry.
/// </summary>
internal static class PlackettLuce
{
    /// <summary>log of the probability of a ranking.</summary>
    /// <param name="scores">From the best answer to the worst.</param>
    public static double LogProbability(ReadOnlySpan<double> scores)
    {
        double sum = 0;
        for (var k = 0; k < scores.Length; k++)
        {
            sum += scores[k] - LogProbs.LogSumExp(scores[k..]);
        }
        return sum;
    }

    /// <summary>Every order of the numbers 0..count-1.</summary>
    public static IEnumerable<int[]> Orders(int count)
    {
        if (count == 0)
        {
            return [[]];
        }
        return Orders(count - 1).SelectMany(order => Enumerable.Range(0, count).Select(at => (int[])[.. order[..at], count - 1, .. order[at..]]));
    }
}

/// <summary>
/// The expected loss of DPO on rankings (the paper's equation 20) at one prompt: sets of answers, each ranked in every order at its
/// probability under the true reward.
/// </summary>
/// <param name="prompt">Reference and true reward.</param>
/// <param name="lengths">Tokens of each sequence.</param>
/// <param name="loss">Gives the implicit rewards.</param>
/// <param name="sets">The answers ranked together; all sets are equally frequent.</param>
internal sealed class ExpectedRankingLoss(TheoryPrompt prompt, int[] lengths, TheoryLoss loss, IReadOnlyList<int[]> sets) : IObjective
{
    private readonly double[] _scale = Array.ConvertAll(lengths, loss.Scale);
    private readonly int[][] _orders = [.. PlackettLuce.Orders(sets[0].Length)];

    public double Scale => _scale.Max();

    public double Value(double[] logits) => Sum(logits, null, null);

    /// <remarks>The Hessian leaves out what the normaliser adds where scales differ, which for DPO they do not.</remarks>
    public (double Value, double[] Gradient, double[] Hessian) Derivatives(double[] logits)
    {
        var n = logits.Length;
        var (gradient, hessian) = (new double[n], new double[n * n]);
        var value = Sum(logits, gradient, hessian);
        return (value, LogProbs.ByLogits(LogProbs.Normalise(logits), gradient), hessian);
    }

    // Each choice of a ranking is a softmax over what is left: its loss has gradient softmax - onehot, and the softmax's covariance as Hessian.
    private double Sum(double[] logits, double[]? gradient, double[]? hessian)
    {
        var n = logits.Length;
        var rewards = loss.Rewards(LogProbs.Normalise(logits), prompt.Reference, lengths);
        double sum = 0;
        foreach (var set in sets)
        {
            foreach (var order in _orders)
            {
                int[] ranked = [.. order.Select(k => set[k])];
                var weight = Math.Exp(PlackettLuce.LogProbability([.. ranked.Select(i => prompt.Reward[i])])) / sets.Count;
                sum -= weight * PlackettLuce.LogProbability([.. ranked.Select(i => rewards[i])]);
                for (var k = 0; gradient is not null && k < ranked.Length; k++)
                {
                    var left = ranked[k..];
                    double[] choice = [.. LogProbs.Normalise([.. left.Select(i => rewards[i])]).Select(Math.Exp)];
                    gradient[left[0]] -= weight * _scale[left[0]];
                    for (var a = 0; a < left.Length; a++)
                    {
                        gradient[left[a]] += weight * choice[a] * _scale[left[a]];
                        for (var b = 0; b < left.Length; b++)
                        {
                            hessian![(left[a] * n) + left[b]] +=
                                weight * ((a == b ? choice[a] : 0) - (choice[a] * choice[b])) * _scale[left[a]] * _scale[left[b]];
                        }
                    }
                }
            }
        }
        return sum;
    }
}
