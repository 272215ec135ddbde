namespace TinyDpo.Models;

/// <summary>
/// Rotary frequencies changed to serve a longer context than they were made for (rope_scaling in config.json). A factor above 1 slows
/// rotation down.
/// </summary>
public abstract record RopeScaling(double Factor)
{
    /// <summary>The frequency to use in place of <paramref name="frequency"/>, in radians a position.</summary>
    public abstract double Apply(double frequency);

    /// <summary>The frequency of each pair of a head, [headSize / 2]: theta^(-2 i / headSize) (Su et al. 2021), scaled.</summary>
    public static double[] Frequencies(int headSize, double theta, RopeScaling? scaling) =>
    [
        .. Enumerable.Range(0, headSize / 2).Select(i => Math.Pow(theta, -2.0 * i / headSize)).Select(f => scaling?.Apply(f) ?? f),
    ];
}

/// <summary>Position interpolation (Chen et al. 2023): every frequency divided by the factor.</summary>
public sealed record LinearRopeScaling(double Factor) : RopeScaling(Factor)
{
    public override double Apply(double frequency) => frequency / Factor;
}

/// <summary>
/// Llama 3's scaling, as transformers computes it: wavelengths above OriginalContext / LowFrequencyFactor are stretched by the factor, those
/// below OriginalContext / HighFrequencyFactor stay, and between them the two are mixed.
/// </summary>
/// <param name="OriginalContext">The context that the frequencies were made for, in tokens.</param>
public sealed record Llama3RopeScaling(double Factor, double LowFrequencyFactor, double HighFrequencyFactor, int OriginalContext) : RopeScaling(Factor)
{
    public override double Apply(double frequency)
    {
        var turns = OriginalContext * frequency / (2 * Math.PI); // in the original context
        var kept = Math.Clamp((turns - LowFrequencyFactor) / (HighFrequencyFactor - LowFrequencyFactor), 0, 1);
        return ((1 - kept) * frequency / Factor) + (kept * frequency);
    }
}
