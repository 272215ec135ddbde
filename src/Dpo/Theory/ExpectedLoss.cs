namespace TinyDpo.Dpo;

/// <summary>
/// The expected loss at one prompt, over every pair of the world, labelled as Bradley-Terry labels them: equation 7 with the expectation
/// taken exactly.
/// </summary>
/// <param name="prompt">Reference and true reward.</param>
/// <param name="lengths">Tokens of each sequence.</param>
/// <param name="loss">Of one pair.</param>
/// <param name="draw">How pairs are drawn.</param>
internal sealed class ExpectedLoss(TheoryPrompt prompt, int[] lengths, TheoryLoss loss, PairDraw draw) : IObjective
{
    private readonly double[] _scale = Array.ConvertAll(lengths, loss.Scale);

    public double Scale => _scale.Max();

    /// <summary>The loss of a policy given by its log-probs.</summary>
    public double Value(double[] policy) => Sum(policy, null, null);

    /// <summary>Its derivatives by the log-probs of all sequences.</summary>
    public double[] ByLogProbs(double[] policy)
    {
        var gradient = new double[policy.Length];
        Sum(policy, gradient, null);
        return gradient;
    }

    /// <summary>Its gradient by the logits of a softmax over all sequences.</summary>
    public double[] ByLogits(double[] policy) => LogProbs.ByLogits(policy, ByLogProbs(policy));

    /// <summary>The Hessian by the log-probs, [count, count] row by row.</summary>
    public double[] HessianByLogProbs(double[] policy)
    {
        var hessian = new double[policy.Length * policy.Length];
        Sum(policy, null, hessian);
        return hessian;
    }

    double IObjective.Value(double[] logits) => Value(LogProbs.Normalise(logits));

    /// <remarks>
    /// With J the Jacobian of log softmax the Hessian is J^T M J, less a term in the sum of the gradient by log-probs. That sum is 0 for a
    /// loss of differences such as DPO's, and the term is left out for all: it could make the matrix indefinite.
    /// </remarks>
    public (double Value, double[] Gradient, double[] Hessian) Derivatives(double[] logits)
    {
        var policy = LogProbs.Normalise(logits);
        var n = policy.Length;
        var (byLogProbs, m) = (new double[n], new double[n * n]);
        var value = Sum(policy, byLogProbs, m);
        var rows = new double[n];
        for (var i = 0; i < n; i++)
        {
            rows[i] = m.AsSpan(i * n, n).ToArray().Sum();
        }
        var (all, p) = (rows.Sum(), Array.ConvertAll(policy, Math.Exp));
        for (var i = 0; i < n; i++)
        {
            for (var j = 0; j < n; j++)
            {
                m[(i * n) + j] += (all * p[i] * p[j]) - (rows[i] * p[j]) - (p[i] * rows[j]);
            }
        }
        return (value, LogProbs.ByLogits(policy, byLogProbs), m);
    }

    // Each pair of answers once, with both labels at their probabilities.
    private double Sum(double[] policy, double[]? gradient, double[]? hessian)
    {
        var n = policy.Length;
        var implicitReward = loss.Rewards(policy, prompt.Reference, lengths);
        double sum = 0;
        foreach (var i in draw.Held)
        {
            foreach (var j in draw.Held)
            {
                if (j >= i || draw.Probability(i, j) is var drawn && drawn == 0)
                {
                    continue;
                }
                var wins = prompt.Preference(i, j);
                var margin = implicitReward[i] - implicitReward[j];
                var (won, lost) = (loss.At(margin), loss.At(-margin));
                sum += drawn * ((wins * won.Value) + ((1 - wins) * lost.Value));
                if (gradient is not null)
                {
                    var slope = drawn * ((wins * won.Slope) - ((1 - wins) * lost.Slope));
                    gradient[i] += slope * _scale[i];
                    gradient[j] -= slope * _scale[j];
                }
                if (hessian is not null)
                {
                    var curvature = drawn * ((wins * won.Curvature) + ((1 - wins) * lost.Curvature));
                    hessian[(i * n) + i] += curvature * _scale[i] * _scale[i];
                    hessian[(j * n) + j] += curvature * _scale[j] * _scale[j];
                    hessian[(i * n) + j] = hessian[(j * n) + i] = -curvature * _scale[i] * _scale[j];
                }
            }
        }
        return sum;
    }
}
