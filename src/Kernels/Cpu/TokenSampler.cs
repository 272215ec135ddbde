using System.Buffers;

namespace TinyDpo.Kernels;

/// <summary>Draws one token from a row of logits. Probabilities are in double, so that the draw is the same on every device.</summary>
internal static class TokenSampler
{
    /// <param name="logits">[vocabulary].</param>
    /// <param name="options">Temperature, top-k and top-p.</param>
    /// <param name="uniform">A uniform random number in [0, 1).</param>
    /// <exception cref="NonFiniteException">A logit is NaN, or the largest infinite.</exception>
    public static int Draw(ReadOnlySpan<Real> logits, SamplingOptions options, double uniform)
    {
        var likeliest = ArgMax(logits);
        if (!Real.IsFinite(logits[likeliest]))
        {
            throw new NonFiniteException("the largest logit");
        }
        if (options.Temperature == 0)
        {
            return likeliest;
        }
        return options.TopK > 0 || options.TopP < 1 ? DrawSorted(logits, options, uniform) : DrawAll(logits, options.Temperature, uniform);
    }

    private static int DrawAll(ReadOnlySpan<Real> logits, double temperature, double uniform)
    {
        var weights = ArrayPool<double>.Shared.Rent(logits.Length);
        var total = Weights(logits, temperature, weights);
        var chosen = Walk(weights.AsSpan(0, logits.Length), uniform * total);
        ArrayPool<double>.Shared.Return(weights);
        return chosen;
    }

    private static int DrawSorted(ReadOnlySpan<Real> logits, SamplingOptions options, double uniform)
    {
        var weights = new double[logits.Length];
        var total = Weights(logits, options.Temperature, weights);
        var order = new int[logits.Length];
        for (var j = 0; j < order.Length; j++)
        {
            order[j] = j;
        }

        // Equal weights stand in the order of their ids: the draw does not depend on the sort.
        Array.Sort(order, (a, b) => weights[a] != weights[b] ? weights[b].CompareTo(weights[a]) : a.CompareTo(b));
        var kept = options.TopK > 0 ? Math.Min(options.TopK, order.Length) : order.Length;
        if (options.TopK > 0)
        {
            total = 0;
            for (var i = 0; i < kept; i++)
            {
                total += weights[order[i]];
            }
        }
        if (options.TopP < 1)
        {
            var goal = options.TopP * total;
            double sum = 0;
            var count = 0;
            while (count < kept && (count == 0 || sum < goal))
            {
                sum += weights[order[count++]];
            }
            kept = count;
            total = sum;
        }
        var sorted = new double[kept];
        for (var i = 0; i < kept; i++)
        {
            sorted[i] = weights[order[i]];
        }
        return order[Walk(sorted, uniform * total)];
    }

    private static double Weights(ReadOnlySpan<Real> logits, double temperature, Span<double> weights)
    {
        double max = logits[ArgMax(logits)];
        double total = 0;
        for (var j = 0; j < logits.Length; j++)
        {
            weights[j] = Math.Exp((logits[j] - max) / temperature);
            total += weights[j];
        }
        return total;
    }

    private static int Walk(ReadOnlySpan<double> weights, double goal)
    {
        double sum = 0;
        var last = 0;
        for (var j = 0; j < weights.Length; j++)
        {
            sum += weights[j];
            if (weights[j] > 0)
            {
                last = j;
                if (goal < sum)
                {
                    return j;
                }
            }
        }
        return last; // rounding left the goal a hair beyond the sum
    }

    private static int ArgMax(ReadOnlySpan<Real> logits)
    {
        var best = 0;
        for (var j = 1; j < logits.Length; j++)
        {
            // A NaN is taken as the largest, so that it is found.
            if (logits[j] > logits[best] || Real.IsNaN(logits[j]))
            {
                best = j;
            }
        }
        return best;
    }
}
