using System.Buffers;
using System.Runtime.Intrinsics;

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
        var highest = Highest(logits);
        if (!Real.IsFinite(highest))
        {
            throw new NonFiniteException("the largest logit");
        }
        if (options.Temperature == 0)
        {
            return logits.IndexOf(highest);
        }
        return options.TopK > 0 || options.TopP < 1
            ? DrawSorted(logits, highest, options, uniform)
            : DrawAll(logits, highest, options.Temperature, uniform);
    }

    private static int DrawAll(ReadOnlySpan<Real> logits, Real highest, double temperature, double uniform)
    {
        var weights = ArrayPool<double>.Shared.Rent(logits.Length);
        var total = Weights(logits, highest, temperature, weights.AsSpan(0, logits.Length));
        var chosen = Walk(weights.AsSpan(0, logits.Length), uniform * total);
        ArrayPool<double>.Shared.Return(weights);
        return chosen;
    }

    private static int DrawSorted(ReadOnlySpan<Real> logits, Real highest, SamplingOptions options, double uniform)
    {
        var weights = new double[logits.Length];
        var total = Weights(logits, highest, options.Temperature, weights);
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

    /// <summary>weights[j] = exp((logits[j] - highest) / temperature), 0 where that is below e^-700; returns their sum.</summary>
    private static double Weights(ReadOnlySpan<Real> logits, double highest, double temperature, Span<double> weights)
    {
        for (var j = 0; j < logits.Length; j++)
        {
            weights[j] = logits[j] - highest;
        }
        double total = 0;
        var i = 0;
        for (; i <= weights.Length - Vector256<double>.Count; i += Vector256<double>.Count)
        {
            var four = weights.Slice(i, Vector256<double>.Count);
            Weight(Vector256.Create<double>(four), temperature).CopyTo(four);
            foreach (var weight in four)
            {
                total += weight;
            }
        }
        for (; i < weights.Length; i++)
        {
            weights[i] = Weight(Vector256.CreateScalar(weights[i]), temperature)[0];
            total += weights[i];
        }
        return total;

        // Beyond e^-708 the vectors' exponential takes each lane by itself, to no purpose here.
        static Vector256<double> Weight(Vector256<double> below, double temperature)
        {
            var (x, lowest) = (below / temperature, Vector256.Create(-700.0));
            return Vector256.Exp(Vector256.Max(x, lowest)) & Vector256.GreaterThanOrEqual(x, lowest);
        }
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

    /// <summary>A NaN is taken as the highest, so that it is found.</summary>
    private static Real Highest(ReadOnlySpan<Real> logits)
    {
        var (highest, j) = (Real.NegativeInfinity, 0);
        if (logits.Length >= Vector256<Real>.Count)
        {
            var lanes = Vector256.Create(highest);
            for (; j <= logits.Length - Vector256<Real>.Count; j += Vector256<Real>.Count)
            {
                lanes = Vector256.Max(lanes, Vector256.Create(logits[j..]));
            }
            for (var lane = 0; lane < Vector256<Real>.Count; lane++)
            {
                highest = Real.Max(highest, lanes[lane]);
            }
        }
        for (; j < logits.Length; j++)
        {
            highest = Real.Max(highest, logits[j]);
        }
        return highest;
    }
}
