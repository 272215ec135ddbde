namespace TinyDpo.Dpo;

/// <summary>An estimate with its 95 % confidence interval.</summary>
/// <param name="Count">Number of observations, or of pairs of them.</param>
public readonly record struct Interval(double Estimate, double Low, double High, int Count)
{
    public bool Contains(double value) => Low <= value && value <= High;
}

/// <summary>Estimates with 95 % confidence intervals, from independent observations.</summary>
public static class Statistics
{
    /// <summary>The 97.5 % quantile of the standard normal distribution.</summary>
    private const double Z = 1.959963984540054;

    // The 97.5 % quantiles of Student's t for 2 observations, 3, and so on; from 30 on the normal's is within 5 % of them.
    private static readonly double[] s_studentT =
    [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093,
        2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048,
    ];

    /// <summary>Mean, with the interval of the normal approximation; from one observation alone the interval is unbounded.</summary>
    /// <exception cref="ArgumentException">There is no observation.</exception>
    public static Interval Mean(ReadOnlySpan<double> values)
    {
        var mean = Sum(values) / RequireSome(values.Length);
        var half = values.Length > 1 ? Z * StandardDeviation(values) / Math.Sqrt(values.Length) : double.PositiveInfinity;
        return new(mean, mean - half, mean + half, values.Length);
    }

    /// <summary>
    /// Mean of a few observations, with the interval of Student's t, which is wide where they are few: from one alone it is unbounded.
    /// </summary>
    /// <exception cref="ArgumentException">There is no observation.</exception>
    public static Interval MeanOfFew(ReadOnlySpan<double> values)
    {
        var normal = Mean(values);
        var t = values.Length - 2 is >= 0 and var index && index < s_studentT.Length ? s_studentT[index] : Z;
        var half = (normal.High - normal.Estimate) * t / Z;
        return normal with { Low = normal.Estimate - half, High = normal.Estimate + half };
    }

    /// <summary>A mean whose standard error is known.</summary>
    public static Interval FromError(double mean, double standardError) => new(mean, mean - (Z * standardError), mean + (Z * standardError), 1);

    /// <summary>Standard deviation of a sample (over n - 1); NaN for one observation.</summary>
    /// <exception cref="ArgumentException">There is no observation.</exception>
    public static double StandardDeviation(ReadOnlySpan<double> values)
    {
        var mean = Sum(values) / RequireSome(values.Length);
        double squares = 0;
        foreach (var value in values)
        {
            squares += (value - mean) * (value - mean);
        }
        return Math.Sqrt(squares / (values.Length - 1));
    }

    /// <summary>A proportion with the score interval of Wilson (1927), which stays within [0, 1] and has width at 0 and 1 too.</summary>
    /// <param name="successes">In [0, count]; halves count for ties.</param>
    /// <exception cref="ArgumentException">There is no trial, or the successes are out of range.</exception>
    public static Interval Proportion(double successes, int count)
    {
        if (!(successes >= 0 && successes <= RequireSome(count)))
        {
            throw new ArgumentException($"{successes} successes in {count} trials");
        }
        var p = successes / count;
        var shrink = 1 + (Z * Z / count);
        var centre = (p + (Z * Z / (2 * count))) / shrink;
        var half = Z * Math.Sqrt((p * (1 - p) / count) + (Z * Z / (4.0 * count * count))) / shrink;
        // At 0 and 1 the bound is exact in mathematics, and would miss the estimate by a rounding.
        return new(p, Math.Clamp(centre - half, 0, p), Math.Clamp(centre + half, p, 1), count);
    }

    /// <summary>
    /// How often a beats b, pair by pair; a tie counts 1/2. The interval is Wilson's, a little too wide where ties are many (they vary
    /// less).
    /// </summary>
    /// <exception cref="ArgumentException">The arrays are empty, of different lengths, or hold a NaN, which neither wins nor
    /// ties.</exception>
    public static Interval WinRate(ReadOnlySpan<double> a, ReadOnlySpan<double> b)
    {
        RequirePairs(a, b);
        double wins = 0;
        for (var i = 0; i < a.Length; i++)
        {
            if (double.IsNaN(a[i]) || double.IsNaN(b[i]))
            {
                throw new ArgumentException($"pair {i} holds a NaN");
            }
            wins += a[i] > b[i] ? 1 : a[i] == b[i] ? 0.5 : 0;
        }
        return Proportion(wins, a.Length);
    }

    /// <summary>Mean of a - b over pairs, with its interval: narrower than from two separate means where a and b go together.</summary>
    /// <exception cref="ArgumentException">The arrays are empty or of different lengths.</exception>
    public static Interval PairedDifference(ReadOnlySpan<double> a, ReadOnlySpan<double> b)
    {
        RequirePairs(a, b);
        var differences = new double[a.Length];
        for (var i = 0; i < a.Length; i++)
        {
            differences[i] = a[i] - b[i];
        }
        return Mean(differences);
    }

    private static double Sum(ReadOnlySpan<double> values)
    {
        double sum = 0;
        foreach (var value in values)
        {
            sum += value;
        }
        return sum;
    }

    private static int RequireSome(int count) => count > 0 ? count : throw new ArgumentException("there is no observation");

    private static void RequirePairs(ReadOnlySpan<double> a, ReadOnlySpan<double> b)
    {
        if (a.Length != b.Length)
        {
            throw new ArgumentException($"{a.Length} observations against {b.Length}");
        }
        RequireSome(a.Length);
    }
}
