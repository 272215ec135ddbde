using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

/// <summary>A function of one number with its derivative; y is the function's value, where that makes the derivative cheaper.</summary>
internal interface IUnaryKernel
{
    static abstract Vector256<Real> Value(Vector256<Real> x);

    static abstract Vector256<Real> Derivative(Vector256<Real> x, Vector256<Real> y);
}

/// <summary>A function of two numbers with its derivatives.</summary>
internal interface IBinaryKernel
{
    static abstract Vector256<Real> Value(Vector256<Real> a, Vector256<Real> b);

    static abstract Vector256<Real> DerivativeFirst(Vector256<Real> a, Vector256<Real> b);

    static abstract Vector256<Real> DerivativeSecond(Vector256<Real> a, Vector256<Real> b);
}

internal readonly struct NegateKernel : IUnaryKernel
{
    public static Vector256<Real> Value(Vector256<Real> x) => -x;

    public static Vector256<Real> Derivative(Vector256<Real> x, Vector256<Real> y) => -Vector256<Real>.One;
}

internal readonly struct ExpKernel : IUnaryKernel
{
    public static Vector256<Real> Value(Vector256<Real> x) => VectorMath.Exp(x);

    public static Vector256<Real> Derivative(Vector256<Real> x, Vector256<Real> y) => y;
}

internal readonly struct LogKernel : IUnaryKernel
{
    public static Vector256<Real> Value(Vector256<Real> x) => VectorMath.Log(x);

    public static Vector256<Real> Derivative(Vector256<Real> x, Vector256<Real> y) => Vector256<Real>.One / x;
}

internal readonly struct SigmoidKernel : IUnaryKernel
{
    public static Vector256<Real> Value(Vector256<Real> x) => VectorMath.Sigmoid(x);

    public static Vector256<Real> Derivative(Vector256<Real> x, Vector256<Real> y) => y * (Vector256<Real>.One - y);
}

internal readonly struct LogSigmoidKernel : IUnaryKernel
{
    public static Vector256<Real> Value(Vector256<Real> x) => VectorMath.LogSigmoid(x);

    // d/dx log sigma(x) = 1 - sigma(x) = sigma(-x): the second form keeps its digits for large x.
    public static Vector256<Real> Derivative(Vector256<Real> x, Vector256<Real> y) => VectorMath.Sigmoid(-x);
}

internal readonly struct ReluKernel : IUnaryKernel
{
    // Not Max: a NaN must pass through, and every device must agree on it.
    public static Vector256<Real> Value(Vector256<Real> x) =>
        Vector256.ConditionalSelect(Vector256.LessThan(x, Vector256<Real>.Zero), Vector256<Real>.Zero, x);

    public static Vector256<Real> Derivative(Vector256<Real> x, Vector256<Real> y) =>
        Vector256.ConditionalSelect(Vector256.GreaterThan(x, Vector256<Real>.Zero), Vector256<Real>.One, Vector256<Real>.Zero);
}

internal readonly struct SquareKernel : IUnaryKernel
{
    public static Vector256<Real> Value(Vector256<Real> x) => x * x;

    public static Vector256<Real> Derivative(Vector256<Real> x, Vector256<Real> y) => x + x;
}

internal readonly struct TanhKernel : IUnaryKernel
{
    public static Vector256<Real> Value(Vector256<Real> x) => VectorMath.Tanh(x);

    public static Vector256<Real> Derivative(Vector256<Real> x, Vector256<Real> y) => Vector256<Real>.One - (y * y);
}

internal readonly struct AbsKernel : IUnaryKernel
{
    public static Vector256<Real> Value(Vector256<Real> x) => Vector256.Abs(x);

    public static Vector256<Real> Derivative(Vector256<Real> x, Vector256<Real> y) =>
        Vector256.ConditionalSelect(
            Vector256.LessThan(x, Vector256<Real>.Zero),
            -Vector256<Real>.One,
            Vector256.ConditionalSelect(Vector256.GreaterThan(x, Vector256<Real>.Zero), Vector256<Real>.One, Vector256<Real>.Zero));
}

/// <summary>gelu(x) = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) (Hendrycks and Gimpel 2016, the tanh form).</summary>
internal readonly struct GeluKernel : IUnaryKernel
{
    private const Real SquareRootOfTwoOverPi = (Real)0.797884560802865355879892119868763737;
    private const Real Cubic = (Real)0.044715;
    private const Real Half = (Real)0.5;

    public static Vector256<Real> Value(Vector256<Real> x) => x * Half * (Vector256<Real>.One + Inner(x));

    public static Vector256<Real> Derivative(Vector256<Real> x, Vector256<Real> y)
    {
        var tanh = Inner(x);
        var slope = SquareRootOfTwoOverPi * (Vector256<Real>.One + (x * x * (3 * Cubic)));
        return (Vector256<Real>.One + tanh + (x * (Vector256<Real>.One - (tanh * tanh)) * slope)) * Half;
    }

    private static Vector256<Real> Inner(Vector256<Real> x) => VectorMath.Tanh((x + (x * x * x * Cubic)) * SquareRootOfTwoOverPi);
}

internal readonly struct AddKernel : IBinaryKernel
{
    public static Vector256<Real> Value(Vector256<Real> a, Vector256<Real> b) => a + b;

    public static Vector256<Real> DerivativeFirst(Vector256<Real> a, Vector256<Real> b) => Vector256<Real>.One;

    public static Vector256<Real> DerivativeSecond(Vector256<Real> a, Vector256<Real> b) => Vector256<Real>.One;
}

internal readonly struct SubtractKernel : IBinaryKernel
{
    public static Vector256<Real> Value(Vector256<Real> a, Vector256<Real> b) => a - b;

    public static Vector256<Real> DerivativeFirst(Vector256<Real> a, Vector256<Real> b) => Vector256<Real>.One;

    public static Vector256<Real> DerivativeSecond(Vector256<Real> a, Vector256<Real> b) => -Vector256<Real>.One;
}

internal readonly struct MultiplyKernel : IBinaryKernel
{
    public static Vector256<Real> Value(Vector256<Real> a, Vector256<Real> b) => a * b;

    public static Vector256<Real> DerivativeFirst(Vector256<Real> a, Vector256<Real> b) => b;

    public static Vector256<Real> DerivativeSecond(Vector256<Real> a, Vector256<Real> b) => a;
}

internal readonly struct DivideKernel : IBinaryKernel
{
    public static Vector256<Real> Value(Vector256<Real> a, Vector256<Real> b) => a / b;

    public static Vector256<Real> DerivativeFirst(Vector256<Real> a, Vector256<Real> b) => Vector256<Real>.One / b;

    public static Vector256<Real> DerivativeSecond(Vector256<Real> a, Vector256<Real> b) => -a / (b * b);
}
