namespace TinyDpo.Dpo;

/// <summary>Distributions over a listed set, each as the logarithms of its probabilities.</summary>
internal static class LogProbs
{
    /// <summary>log of the sum of exp(x); -infinity for none.</summary>
    public static double LogSumExp(ReadOnlySpan<double> x)
    {
        var largest = double.NegativeInfinity;
        foreach (var value in x)
        {
            largest = Math.Max(largest, value);
        }
        if (double.IsNegativeInfinity(largest))
        {
            return largest;
        }
        double sum = 0;
        foreach (var value in x)
        {
            sum += Math.Exp(value - largest);
        }
        return largest + Math.Log(sum);
    }

    /// <summary>log softmax: the distribution that has these logits.</summary>
    public static double[] Normalise(double[] logits)
    {
        var shift = LogSumExp(logits);
        return Array.ConvertAll(logits, x => x - shift);
    }

    /// <summary>The expectation of f(i) under p.</summary>
    public static double Mean(double[] p, Func<int, double> f)
    {
        double sum = 0;
        for (var i = 0; i < p.Length; i++)
        {
            sum += Math.Exp(p[i]) * f(i);
        }
        return sum;
    }

    public static double Mean(double[] p, double[] values) => Mean(p, i => values[i]);

    /// <summary>KL(p || q) in nats.</summary>
    public static double Kl(double[] p, double[] q) => Mean(p, i => p[i] - q[i]);

    /// <summary>Half the sum of |p - q|.</summary>
    public static double TotalVariation(double[] p, double[] q) =>
        p.Zip(q, static (a, b) => Math.Abs(Math.Exp(a) - Math.Exp(b))).Sum() / 2;

    /// <summary>
    /// The gradient by a softmax's logits of a quantity whose derivatives by the log-probs are <paramref name="byLogProb"/>:
    /// d log p_i / d logit_k = [i = k] - p_k.
    /// </summary>
    public static double[] ByLogits(double[] p, double[] byLogProb)
    {
        var total = byLogProb.Sum();
        return [.. byLogProb.Zip(p, (g, logP) => g - (total * Math.Exp(logP)))];
    }

    /// <summary>a + scale b.</summary>
    public static double[] Add(double[] a, double scale, double[] b) => [.. a.Zip(b, (x, y) => x + (scale * y))];

    public static double Dot(double[] a, double[] b) => a.Zip(b, static (x, y) => x * y).Sum();

    /// <summary>The largest |f(i)| below <paramref name="count"/>; NaN if any is.</summary>
    public static double Largest(int count, Func<int, double> f)
    {
        double largest = 0;
        for (var i = 0; i < count; i++)
        {
            largest = Math.Max(largest, Math.Abs(f(i)));
        }
        return largest;
    }
}
