namespace TinyDpo.Kernels;

/// <summary>
/// The numbers inside the single-precision <see cref="VectorMath"/>. kernels.cu spells the same ones, so that the devices agree to the bit:
/// change neither alone. They are fitted, and described, by tools/fit-math.sollya; nine digits name a single uniquely.
/// </summary>
public static class MathConstants
{
    /// <summary>1 / ln 2.</summary>
    public const float Log2E = 1.44269502f;

    /// <summary>ln 2 rounded to a single; with <see cref="Ln2Low"/> it is good to about 48 bits.</summary>
    public const float Ln2High = 0.693147182f;

    /// <summary>ln 2 - <see cref="Ln2High"/>.</summary>
    public const float Ln2Low = -1.90465421e-9f;

    /// <summary>1.5 * 2^23: adding it rounds |x| below 2^22 to an integer, which is then the difference of the bit patterns.</summary>
    public const float RoundingShift = 12582912f;

    /// <summary>The bits of <see cref="RoundingShift"/>.</summary>
    public const int RoundingShiftBits = 0x4B400000;

    /// <summary>From here on exp is infinite.</summary>
    public const float ExpOverflow = 89f;

    /// <summary>From here down exp rounds to 0: it is less than half the smallest denormal.</summary>
    public const float ExpUnderflow = -104f;

    // exp(r) = 1 + r + C2 r^2 + ... + C6 r^6 for |r| <= ln 2 / 2
    public const float ExpC2 = 0.499999911f;
    public const float ExpC3 = 0.166665211f;
    public const float ExpC4 = 0.0416689664f;
    public const float ExpC5 = 0.00836867746f;
    public const float ExpC6 = 0.00137821981f;

    /// <summary>The bits of the single nearest 2/3: logarithms reduce to a mantissa in [2/3, 4/3).</summary>
    public const int TwoThirdsBits = 0x3F2AAAAB;

    /// <summary>The bits of a single's sign and exponent.</summary>
    public const int ExponentMask = unchecked((int)0xFF800000);

    /// <summary>The bits of 4, whose exponent leaves room for 4 * 2^-128 to stay normal.</summary>
    public const int FourBits = 0x40800000;

    /// <summary>2^-126: below it singles are denormal.</summary>
    public const float SmallestNormal = 1.17549435e-38f;

    /// <summary>2^23 makes any denormal normal.</summary>
    public const float DenormalScale = 8388608f;

    /// <summary>log2 of <see cref="DenormalScale"/>.</summary>
    public const int DenormalExponent = 23;

    // log(1 + f) = f + f^2 (C1 + C2 f + ... + C9 f^8) for 1 + f in [2/3, 4/3)
    public const float LogC1 = -0.5f;
    public const float LogC2 = 0.333332092f;
    public const float LogC3 = -0.249998242f;
    public const float LogC4 = 0.200107142f;
    public const float LogC5 = -0.166793853f;
    public const float LogC6 = 0.140016198f;
    public const float LogC7 = -0.121985942f;
    public const float LogC8 = 0.140027761f;
    public const float LogC9 = -0.12832424f;

    /// <summary>Below it tanh is its polynomial; from it on, 1 - 2 / (exp(2a) + 1).</summary>
    public const float TanhSplit = 0.625f;

    // tanh(a) = a + a^3 (C2 + C4 a^2 + ... + C10 a^8) for 0 <= a < TanhSplit
    public const float TanhC2 = -0.333332807f;
    public const float TanhC4 = 0.133314162f;
    public const float TanhC6 = -0.0537379384f;
    public const float TanhC8 = 0.0206341185f;
    public const float TanhC10 = -0.00570009183f;
}
