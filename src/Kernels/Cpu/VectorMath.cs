using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

/// <summary>
/// Elementary functions a vector at a time; the scalar forms give the same bits. In single precision they are our own
/// (VectorMath.Single.cs): fma, add, multiply, divide, compare and integer operations only, or one instruction that gives the same bits, so
/// that CUDA C with fmaf and contraction off computes them too (but for a NaN's payload). In double precision exp, log and tanh are
/// System.Math's (VectorMath.Double.cs).
/// The errors stated are the largest over all 2^32 singles against double precision; VectorMathAccuracyTests measures them.
/// </summary>
public static partial class VectorMath
{
    /// <summary>1 / (1 + exp(-x)), which neither overflows nor loses its tail: sigmoid(-100) is exp(-100), not 0. Error 2.41 ulp.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<Real> Sigmoid(Vector256<Real> x)
    {
        var one = Vector256.Create((Real)1);
        var e = Exp(-Vector256.Abs(x)); // at most 1
        var numerator = Vector256.ConditionalSelect(Vector256.LessThan(x, Vector256<Real>.Zero), e, one);
        return numerator / (one + e);
    }

    /// <inheritdoc cref="Sigmoid(Vector256{Real})"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<Real> Sigmoid(Vector512<Real> x)
    {
        var one = Vector512<Real>.One;
        var e = Exp(-Vector512.Abs(x));
        return Vector512.ConditionalSelect(Vector512.LessThan(x, Vector512<Real>.Zero), e, one) / (one + e);
    }

    /// <summary>log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)), which never overflows. Error 1.99 ulp.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<Real> Softplus(Vector256<Real> x)
    {
        // A comparison, not Max: it means the same on every device, and lets a NaN through.
        var positive = Vector256.ConditionalSelect(Vector256.LessThan(x, Vector256<Real>.Zero), Vector256<Real>.Zero, x);
        return positive + Log1p(Exp(-Vector256.Abs(x)));
    }

    /// <summary>log(sigmoid(x)) = -softplus(-x): finite for every finite x. Error as softplus.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<Real> LogSigmoid(Vector256<Real> x) => -Softplus(-x);

    /// <inheritdoc cref="Sigmoid(Vector256{Real})"/>
    public static Real Sigmoid(Real x) => Sigmoid(Vector256.CreateScalar(x)).ToScalar();

    /// <inheritdoc cref="Softplus(Vector256{Real})"/>
    public static Real Softplus(Real x) => Softplus(Vector256.CreateScalar(x)).ToScalar();

    /// <inheritdoc cref="LogSigmoid(Vector256{Real})"/>
    public static Real LogSigmoid(Real x) => LogSigmoid(Vector256.CreateScalar(x)).ToScalar();
}
