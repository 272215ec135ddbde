#if !DOUBLE
using System.Runtime.Intrinsics;
using TinyDpo.Kernels;

namespace TinyDpo.Tests;

/// <summary>
/// The errors that the docstrings of VectorMath state, in units in the last place of the exact result (denormal results: 2^-149), measured
/// against double precision, whose own error, as used here, is below 1e-4 ulp.
/// </summary>
public class VectorMathAccuracyTests
{
    private static readonly Case[] Cases =
    [
        new("exp", Sweep<Exp>, 0.90),
        new("log", Sweep<Log>, 0.94),
        new("log1p", Sweep<Log1p>, 1.55),
        new("tanh", Sweep<Tanh>, 1.38),
        new("sigmoid", Sweep<Sigmoid>, 2.41),
        new("softplus", Sweep<Softplus>, 1.99),
    ];

    [TestCaseSource(nameof(Cases))]
    public void TheErrorIsAsStated(Case c) => AssertWithin(c, c.Sweep(0, 1L << 32, 1009));

    /// <summary>All 2^32 singles, in two threads.</summary>
    [TestCaseSource(nameof(Cases))]
    [Category("Long")]
    public void TheErrorIsAsStatedForEverySingle(Case c)
    {
        var halves = new Worst[2];
        // The halves interleave in blocks, for the exponents that cost most lie together.
        const long block = 1 << 20;
        Parallel.For(0, 2, half =>
        {
            for (var start = half * block; start < 1L << 32; start += 2 * block)
            {
                halves[half] = Worst.Of(halves[half], c.Sweep(start, start + block, 1));
            }
        });
        AssertWithin(c, Worst.Of(halves[0], halves[1]));
    }

    /// <summary>log sigmoid has softplus's error because it is that function, mirrored.</summary>
    [Test]
    public void LogSigmoidIsSoftplusMirrored()
    {
        var steps = Vector256<uint>.Indices * 1009;
        for (var bits = 0L; bits < 1L << 32; bits += 8 * 1009)
        {
            var x = (Vector256.Create((uint)bits) + steps).AsSingle();
            if (!VectorMath.LogSigmoid(x).Equals(-VectorMath.Softplus(-x)))
            {
                Assert.Fail($"at {x}");
            }
        }
    }

    private static void AssertWithin(Case c, Worst worst)
    {
        TestContext.Out.WriteLine($"{c}: {worst.Ulp:F4} ulp at {worst.At:R}");
        Assert.That(worst.Ulp, Is.LessThanOrEqualTo(c.Bound), $"{c} of {worst.At:R}");
    }

    /// <summary>The worst error over every stride-th bit pattern of [from, to), and a few more, which complete a vector.</summary>
    private static Worst Sweep<TFunction>(long from, long to, int stride)
        where TFunction : IFunction
    {
        var worst = new Worst(0, 0);
        var steps = Vector256<uint>.Indices * (uint)stride;
        for (var bits = from; bits < to; bits += 8 * stride)
        {
            var x = (Vector256.Create((uint)bits) + steps).AsSingle();
            var y = TFunction.Value(x);
            for (var i = 0; i < 8; i++)
            {
                var exact = TFunction.Exact(x[i]);
                // What is rounded correctly errs by no more than 0.5 ulp, and needs no measuring.
                if ((float)exact != y[i] || x[i] == 0)
                {
                    var ulp = UlpBetween(y[i], exact);
                    worst = ulp > worst.Ulp ? new(ulp, x[i]) : worst;
                }
            }
        }
        return worst;
    }

    /// <summary>|y - exact| in ulp of exact; infinite where the kinds (NaN, infinity, sign of an exact zero) differ.</summary>
    private static double UlpBetween(float y, double exact)
    {
        if (double.IsNaN(exact) || double.IsInfinity((float)exact) || float.IsNaN(y) || float.IsInfinity(y))
        {
            return y.Equals((float)exact) ? 0 : double.PositiveInfinity;
        }
        if (exact == 0 && y == 0)
        {
            return double.IsNegative(exact) == float.IsNegative(y) ? 0 : double.PositiveInfinity;
        }
        var exponent = exact == 0 ? -126 : Math.Max(Math.ILogB(exact), -126);
        return Math.ScaleB(Math.Abs(y - exact), 23 - exponent);
    }

    public sealed record Case(string Name, Func<long, long, int, Worst> Sweep, double Bound)
    {
        public override string ToString() => Name;
    }

    public readonly record struct Worst(double Ulp, float At)
    {
        public static Worst Of(Worst a, Worst b) => a.Ulp >= b.Ulp ? a : b;
    }

    /// <summary>
    /// A function and its value in double precision. Most singles are tiny or huge: there a few terms of a series or the limit are as
    /// exact as System.Math, and spare the exhaustive sweep most of its time.
    /// </summary>
    private interface IFunction
    {
        static abstract Vector256<float> Value(Vector256<float> x);

        static abstract double Exact(double x);
    }

    private readonly struct Exp : IFunction
    {
        public static Vector256<float> Value(Vector256<float> x) => VectorMath.Exp(x);

        public static double Exact(double x)
        {
            if (Math.Abs(x) < 1e-4)
            {
                return 1 + x * (1 + x * (1.0 / 2 + x / 6));
            }
            return x > 200 ? double.PositiveInfinity : x < -200 ? 0 : Math.Exp(x);
        }
    }

    private readonly struct Log : IFunction
    {
        public static Vector256<float> Value(Vector256<float> x) => VectorMath.Log(x);

        public static double Exact(double x) => x < 0 ? double.NaN : Math.Log(x);
    }

    private readonly struct Log1p : IFunction
    {
        public static Vector256<float> Value(Vector256<float> x) => VectorMath.Log1p(x);

        public static double Exact(double x)
        {
            if (Math.Abs(x) < 1e-4)
            {
                return x * (1 + x * (-1.0 / 2 + x * (1.0 / 3 - x / 4)));
            }
            return x < -1 ? double.NaN : Math.Log(1 + x);
        }
    }

    private readonly struct Tanh : IFunction
    {
        public static Vector256<float> Value(Vector256<float> x) => VectorMath.Tanh(x);

        public static double Exact(double x)
        {
            if (Math.Abs(x) < 1e-3)
            {
                return x * (1 + x * x * (-1.0 / 3 + x * x * (2.0 / 15)));
            }
            return x > 20 ? 1 : x < -20 ? -1 : Math.Tanh(x);
        }
    }

    private readonly struct Sigmoid : IFunction
    {
        public static Vector256<float> Value(Vector256<float> x) => VectorMath.Sigmoid(x);

        public static double Exact(double x)
        {
            var e = Exp.Exact(-Math.Abs(x));
            return (x < 0 ? e : 1) / (1 + e);
        }
    }

    private readonly struct Softplus : IFunction
    {
        public static Vector256<float> Value(Vector256<float> x) => VectorMath.Softplus(x);

        public static double Exact(double x) =>
            Math.Abs(x) < 1e-4
                ? 0.69314718055994531 + x * (1.0 / 2 + x / 8)
                : (x < 0 ? 0 : x) + Log1p.Exact(Exp.Exact(-Math.Abs(x)));
    }
}
#endif
