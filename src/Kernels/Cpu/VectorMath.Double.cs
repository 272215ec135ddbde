#if DOUBLE
using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

public static partial class VectorMath
{
    /// <summary>System.Math's exp.</summary>
    public static double Exp(double x) => Math.Exp(x);

    /// <summary>System.Math's natural logarithm.</summary>
    public static double Log(double x) => Math.Log(x);

    /// <summary>System.Math's tanh.</summary>
    public static double Tanh(double x) => Math.Tanh(x);

    /// <summary>
    /// log(1 + x), accurate for tiny x: u = 1 + x is rounded, but log(u) / (u - 1) hardly changes with u, so log(u) x / (u - 1) is right
    /// (Kahan; Goldberg 1991, "What every computer scientist should know about floating-point arithmetic", theorem 4).
    /// </summary>
    public static double Log1p(double x)
    {
        var u = 1 + x;
        if (u == 1)
        {
            return x;
        }
        return double.IsPositiveInfinity(u) ? u : Math.Log(u) * (x / (u - 1));
    }

    /// <summary><see cref="Exp(double)"/>, lane by lane.</summary>
    public static Vector256<double> Exp(Vector256<double> x) => Vector256.Create(Exp(x[0]), Exp(x[1]), Exp(x[2]), Exp(x[3]));

    /// <summary><see cref="Exp(double)"/>, lane by lane.</summary>
    public static Vector512<double> Exp(Vector512<double> x) => Vector512.Create(Exp(x.GetLower()), Exp(x.GetUpper()));

    /// <summary><see cref="Log(double)"/>, lane by lane.</summary>
    public static Vector256<double> Log(Vector256<double> x) => Vector256.Create(Log(x[0]), Log(x[1]), Log(x[2]), Log(x[3]));

    /// <summary><see cref="Tanh(double)"/>, lane by lane.</summary>
    public static Vector256<double> Tanh(Vector256<double> x) => Vector256.Create(Tanh(x[0]), Tanh(x[1]), Tanh(x[2]), Tanh(x[3]));

    /// <summary><see cref="Log1p(double)"/>, lane by lane.</summary>
    public static Vector256<double> Log1p(Vector256<double> x) => Vector256.Create(Log1p(x[0]), Log1p(x[1]), Log1p(x[2]), Log1p(x[3]));
}
#endif
