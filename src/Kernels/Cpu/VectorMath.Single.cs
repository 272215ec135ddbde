#if !DOUBLE
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using static System.Runtime.Intrinsics.Vector256;
using static TinyDpo.Kernels.MathConstants;

namespace TinyDpo.Kernels;

public static partial class VectorMath
{
    /// <summary>
    /// e^x by x = k ln 2 + r (Cody and Waite 1980) and a polynomial in r. Error 0.90 ulp, denormal results included; exp(0) = 1,
    /// exp(-inf) = 0, above 88.72 +inf, NaN for NaN.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Exp(Vector256<float> x)
    {
        // A NaN as the second operand passes through both.
        x = MinNative(Create(ExpOverflow), x);
        x = MaxNative(Create(ExpUnderflow), x);
        var shifted = FusedMultiplyAdd(x, Create(Log2E), Create(RoundingShift));
        var rounded = shifted - Create(RoundingShift);
        var r = FusedMultiplyAdd(-rounded, Create(Ln2High), x);
        r = FusedMultiplyAdd(-rounded, Create(Ln2Low), r);

        var p = FusedMultiplyAdd(Create(ExpC6), r, Create(ExpC5));
        p = FusedMultiplyAdd(p, r, Create(ExpC4));
        p = FusedMultiplyAdd(p, r, Create(ExpC3));
        p = FusedMultiplyAdd(p, r, Create(ExpC2));
        p = FusedMultiplyAdd(p, r, Create(1f));
        p = FusedMultiplyAdd(p, r, Create(1f));

        if (Avx512F.VL.IsSupported)
        {
            return Avx512F.VL.Scale(p, rounded); // p 2^k, rounded once
        }
        // 2^k in two factors: k reaches from -150 to 128, beyond one exponent. Only the second multiplication can round, into a denormal.
        var k = shifted.AsInt32() - Create(RoundingShiftBits);
        var half = k >> 1;
        return p * PowerOfTwo(half) * PowerOfTwo(k - half);
    }

    /// <summary>The same bits as <see cref="Exp(Vector256{float})"/>, lane for lane; the same lines, twice as wide.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Exp(Vector512<float> x)
    {
        x = Vector512.MinNative(Vector512.Create(ExpOverflow), x);
        x = Vector512.MaxNative(Vector512.Create(ExpUnderflow), x);
        var shifted = Vector512.FusedMultiplyAdd(x, Vector512.Create(Log2E), Vector512.Create(RoundingShift));
        var rounded = shifted - Vector512.Create(RoundingShift);
        var r = Vector512.FusedMultiplyAdd(-rounded, Vector512.Create(Ln2High), x);
        r = Vector512.FusedMultiplyAdd(-rounded, Vector512.Create(Ln2Low), r);

        var p = Vector512.FusedMultiplyAdd(Vector512.Create(ExpC6), r, Vector512.Create(ExpC5));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(ExpC4));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(ExpC3));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(ExpC2));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(1f));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(1f));

        if (Avx512F.IsSupported)
        {
            return Avx512F.Scale(p, rounded);
        }
        var k = shifted.AsInt32() - Vector512.Create(RoundingShiftBits);
        var half = k >> 1;
        var bias = Vector512.Create(127);
        return p * ((half + bias) << 23).AsSingle() * ((k - half + bias) << 23).AsSingle();
    }

    /// <summary>
    /// The natural logarithm by x = 2^k m with m in [2/3, 4/3). Error 0.94 ulp, denormals included; log(0) = -inf, log(+inf) = +inf,
    /// NaN for negative x and NaN.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Log(Vector256<float> x)
    {
        var denormal = LessThan(x, Create(SmallestNormal));
        var bits = ConditionalSelect(denormal, x * Create(DenormalScale), x).AsInt32();
        var k = (bits - Create(TwoThirdsBits)) >> 23;
        var m = (bits - (k << 23)).AsSingle();
        k -= denormal.AsInt32() & Create(DenormalExponent);
        var result = LogOfReduced(m - Create(1f), k);

        var ordinary = GreaterThan(x, Create(0f)) & LessThan(x, Create(float.PositiveInfinity));
        return ConditionalSelect(ordinary, result, LogOutside(x, Create(0f)));
    }

    /// <summary>
    /// log(1 + x), accurate for tiny x, where it is x itself. Error 1.55 ulp; log1p(-1) = -inf, log1p(+inf) = +inf,
    /// log1p(-0) = -0, NaN below -1 and for NaN.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Log1p(Vector256<float> x)
    {
        // 2^k is chosen by the rounded 1 + x, but f = (1 + x) 2^-k - 1 is made from x itself: x 2^-k + (2^-k - 1), which rounds once.
        var scale = ((Create(1f) + x).AsInt32() - Create(TwoThirdsBits)) & Create(ExponentMask);
        var scaled = (x.AsInt32() - scale).AsSingle();
        var four = (Create(FourBits) - scale).AsSingle();
        var f = scaled + FusedMultiplyAdd(Create(0.25f), four, Create(-1f));
        var result = LogOfReduced(f, scale >> 23);

        var ordinary = GreaterThan(x, Create(-1f)) & LessThan(x, Create(float.PositiveInfinity)) & ~Vector256.Equals(x, Create(0f));
        return ConditionalSelect(ordinary, result, LogOutside(x, Create(-1f)));
    }

    /// <summary>
    /// tanh x: an odd polynomial near 0, 1 - 2 / (exp(2|x|) + 1) beyond, the sign set last. Error 1.38 ulp; exactly odd, x itself for tiny
    /// x, tanh(+-inf) = +-1, NaN for NaN.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Tanh(Vector256<float> x)
    {
        var a = Abs(x);
        var square = a * a;
        var p = FusedMultiplyAdd(Create(TanhC10), square, Create(TanhC8));
        p = FusedMultiplyAdd(p, square, Create(TanhC6));
        p = FusedMultiplyAdd(p, square, Create(TanhC4));
        p = FusedMultiplyAdd(p, square, Create(TanhC2));
        var near = FusedMultiplyAdd(p, a * square, a);
        var far = Create(1f) - Create(2f) / (Exp(a + a) + Create(1f));
        var result = ConditionalSelect(LessThan(a, Create(TanhSplit)), near, far);
        return result | (x & Create(-0f));
    }

    /// <inheritdoc cref="Exp(Vector256{float})"/>
    public static float Exp(float x) => Exp(CreateScalar(x)).ToScalar();

    /// <inheritdoc cref="Log(Vector256{float})"/>
    public static float Log(float x) => Log(CreateScalar(x)).ToScalar();

    /// <inheritdoc cref="Log1p(Vector256{float})"/>
    public static float Log1p(float x) => Log1p(CreateScalar(x)).ToScalar();

    /// <inheritdoc cref="Tanh(Vector256{float})"/>
    public static float Tanh(float x) => Tanh(CreateScalar(x)).ToScalar();

    /// <summary>log(2^k (1 + f)) for 1 + f in [2/3, 4/3).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> LogOfReduced(Vector256<float> f, Vector256<int> k)
    {
        var p = FusedMultiplyAdd(Create(LogC9), f, Create(LogC8));
        p = FusedMultiplyAdd(p, f, Create(LogC7));
        p = FusedMultiplyAdd(p, f, Create(LogC6));
        p = FusedMultiplyAdd(p, f, Create(LogC5));
        p = FusedMultiplyAdd(p, f, Create(LogC4));
        p = FusedMultiplyAdd(p, f, Create(LogC3));
        p = FusedMultiplyAdd(p, f, Create(LogC2));
        p = FusedMultiplyAdd(p, f, Create(LogC1));
        p = FusedMultiplyAdd(p, f * f, f);
        return FusedMultiplyAdd(ConvertToSingle(k), Create(Ln2High), p);
    }

    /// <summary>A logarithm where x is no ordinary number: -inf at the pole, NaN below, else x itself (+inf, NaN, log1p's +-0).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> LogOutside(Vector256<float> x, Vector256<float> pole)
    {
        var below = ConditionalSelect(LessThan(x, pole), Create(float.NaN), x);
        return ConditionalSelect(Vector256.Equals(x, pole), Create(float.NegativeInfinity), below);
    }

    /// <summary>2^k for k in [-126, 127].</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> PowerOfTwo(Vector256<int> k) => ((k + Create(127)) << 23).AsSingle();
}
#endif
