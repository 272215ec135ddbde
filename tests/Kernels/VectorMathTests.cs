using System.Runtime.Intrinsics;
using FsCheck;
using FsCheck.Fluent;
using TinyDpo.Kernels;

namespace TinyDpo.Tests;

public class VectorMathTests
{
#if DOUBLE
    private const double Tolerance = 1e-15;
#else
    private const double Tolerance = 2.4e-7;
#endif

    private const Real Infinity = Real.PositiveInfinity;

    [Test]
    public void ExpOfSpecialValues()
    {
        Assert.That(VectorMath.Exp((Real)0), Is.EqualTo((Real)1));
        Assert.That(VectorMath.Exp(Real.NegativeZero), Is.EqualTo((Real)1));
        Assert.That(VectorMath.Exp(Infinity), Is.EqualTo(Infinity));
        Assert.That(VectorMath.Exp(Real.MaxValue), Is.EqualTo(Infinity));
        Assert.That(VectorMath.Exp(-Infinity), Is.Zero);
        Assert.That(VectorMath.Exp(-Real.MaxValue), Is.Zero);
    }

    [Test]
    public void LogOfSpecialValues()
    {
        Assert.That(VectorMath.Log((Real)1), Is.Zero);
        Assert.That(VectorMath.Log((Real)0), Is.EqualTo(-Infinity));
        Assert.That(VectorMath.Log(Real.NegativeZero), Is.EqualTo(-Infinity));
        Assert.That(VectorMath.Log(Infinity), Is.EqualTo(Infinity));
        Assert.That(VectorMath.Log((Real)(-1)), Is.NaN);
        Assert.That(VectorMath.Log(-Real.Epsilon), Is.NaN);
        Assert.That(VectorMath.Log(-Infinity), Is.NaN);
        Assert.That(VectorMath.Log(Real.Epsilon), Is.EqualTo(Math.Log(Real.Epsilon)).Within(200 * Tolerance));
    }

    [Test]
    public void Log1pOfSpecialValues()
    {
        Assert.That(VectorMath.Log1p((Real)0), Is.Zero);
        Assert.That(Real.IsNegative(VectorMath.Log1p(Real.NegativeZero)), Is.True);
        Assert.That(VectorMath.Log1p((Real)(-1)), Is.EqualTo(-Infinity));
        Assert.That(VectorMath.Log1p(Infinity), Is.EqualTo(Infinity));
        Assert.That(VectorMath.Log1p((Real)(-1.5)), Is.NaN);
        Assert.That(VectorMath.Log1p(-Infinity), Is.NaN);
        Assert.That(VectorMath.Log1p((Real)1e-30), Is.EqualTo((Real)1e-30));
        Assert.That(VectorMath.Log1p(Real.Epsilon), Is.EqualTo(Real.Epsilon));
    }

    [Test]
    public void TanhOfSpecialValues()
    {
        Assert.That(VectorMath.Tanh(Infinity), Is.EqualTo((Real)1));
        Assert.That(VectorMath.Tanh(-Infinity), Is.EqualTo((Real)(-1)));
        Assert.That(VectorMath.Tanh((Real)0), Is.Zero);
        Assert.That(Real.IsNegative(VectorMath.Tanh(Real.NegativeZero)), Is.True);
        Assert.That(VectorMath.Tanh((Real)1e-30), Is.EqualTo((Real)1e-30));
        Assert.That(VectorMath.Tanh(-Real.Epsilon), Is.EqualTo(-Real.Epsilon));
    }

    [Test]
    public void NoFunctionDropsANaN([ValueSource(nameof(Functions))] Function function) =>
        Assert.That(function.Scalar(Real.NaN), Is.NaN);

    [Test]
    public void SigmoidKeepsItsTail()
    {
        Assert.That(VectorMath.Sigmoid((Real)0), Is.EqualTo((Real)0.5));
        Assert.That(VectorMath.Sigmoid((Real)(-80)), Is.EqualTo(Math.Exp(-80)).Within(3 * Tolerance * Math.Exp(-80)));
        Assert.That(VectorMath.Sigmoid((Real)(-100)), Is.GreaterThan((Real)0));
        Assert.That(VectorMath.Sigmoid((Real)100), Is.EqualTo((Real)1));
        Assert.That(VectorMath.Sigmoid((Real)1e4), Is.EqualTo((Real)1));
        Assert.That(VectorMath.Sigmoid((Real)(-1e4)), Is.Zero);
        Assert.That(VectorMath.Sigmoid(Infinity), Is.EqualTo((Real)1));
        Assert.That(VectorMath.Sigmoid(-Infinity), Is.Zero);
    }

    [Test]
    public void SoftplusAndLogSigmoidAreStable()
    {
        Assert.That(VectorMath.Softplus((Real)1e4), Is.EqualTo((Real)1e4));
        Assert.That(VectorMath.Softplus((Real)(-1e4)), Is.Zero);
        Assert.That(VectorMath.Softplus(Infinity), Is.EqualTo(Infinity));
        Assert.That(VectorMath.Softplus(-Infinity), Is.Zero);
        Assert.That(VectorMath.Softplus((Real)(-50)), Is.EqualTo(Math.Exp(-50)).Within(3 * Tolerance * Math.Exp(-50)));
        Assert.That(VectorMath.LogSigmoid((Real)(-1e4)), Is.EqualTo((Real)(-1e4)));
        Assert.That(VectorMath.LogSigmoid((Real)1e4), Is.Zero);
        Assert.That(VectorMath.LogSigmoid(-Real.MaxValue), Is.EqualTo(-Real.MaxValue));
        Assert.That(VectorMath.LogSigmoid((Real)0), Is.EqualTo((Real)(-Math.Log(2))));
    }

    [Test]
    public void TheLogarithmOfSigmoidIsLogSigmoid() =>
        Prop.ForAll(Gen.Choose(-8_000_000, 8_000_000).Select(i => (Real)(i * 1e-5)).ToArbitrary(), x =>
        {
            var direct = VectorMath.Log(VectorMath.Sigmoid(x));
            var stable = VectorMath.LogSigmoid(x);
            return Math.Abs(direct - stable) <= 2 * Tolerance * Math.Max(1, Math.Abs(stable))
                && Math.Abs(VectorMath.Softplus(x) + stable - x) <= 2 * Tolerance * Math.Max(1, Math.Abs(x));
        }).QuickCheckThrowOnFailure();

    [Test]
    public void ScalarAndVectorGiveTheSameBits([ValueSource(nameof(Functions))] Function function)
    {
        foreach (var lanes in Samples())
        {
            var result = function.Vector(lanes);
            for (var i = 0; i < Vector256<Real>.Count; i++)
            {
                AssertSameBits(function.Scalar(lanes[i]), result[i], $"{function} of {lanes[i]:R}");
            }
        }
    }

    [Test]
    public void TheWideFunctionsGiveTheSameBits()
    {
        foreach (var lanes in Samples())
        {
            var other = -lanes;
            var wide = VectorMath.Exp(Vector512.Create(lanes, other));
            var sigmoid = VectorMath.Sigmoid(Vector512.Create(lanes, other));
            for (var i = 0; i < Vector256<Real>.Count; i++)
            {
                AssertSameBits(wide.GetLower()[i], VectorMath.Exp(lanes)[i], $"exp of {lanes[i]:R}");
                AssertSameBits(wide.GetUpper()[i], VectorMath.Exp(other)[i], $"exp of {other[i]:R}");
                AssertSameBits(sigmoid.GetLower()[i], VectorMath.Sigmoid(lanes)[i], $"sigmoid of {lanes[i]:R}");
                AssertSameBits(sigmoid.GetUpper()[i], VectorMath.Sigmoid(other)[i], $"sigmoid of {other[i]:R}");
            }
        }
    }

#if DOUBLE
    // The values come from arithmetic with 40 digits.
    [TestCase(1e-10, 9.999999999500001e-11)]
    [TestCase(-1e-10, -1.00000000005e-10)]
    [TestCase(1e-5, 9.999950000333332e-6)]
    [TestCase(0.5, 0.4054651081081644)]
    [TestCase(-0.75, -1.3862943611198906)]
    [TestCase(1e300, 690.7755278982137)]
    public void Log1pIsAccurateInDouble(double x, double expected) =>
        Assert.That(VectorMath.Log1p(x), Is.EqualTo(expected).Within(Tolerance * Math.Abs(expected)));
#endif

    /// <summary>
    /// Vectors of every other exponent and both signs, of the numbers around which formulas change, and many where no function is trivial.
    /// </summary>
    private static IEnumerable<Vector256<Real>> Samples()
    {
        var special = new double[] { 0, 1, 2.0 / 3, 4.0 / 3, 0.625, 88.7, 89, 104, 709, 745, 1e4, double.PositiveInfinity, double.NaN };
        var values = special.Select(v => (Real)v).ToList();
        for (var exponent = -1080; exponent <= 1030; exponent += 2)
        {
            var random = Philox.Uniform(7, RandomPurpose.Test, 0, 0, exponent + 2000);
            values.Add((Real)((1 + random) * Math.Pow(2, exponent)));
        }
        for (var x = 0.01; x < 120; x *= 1.005)
        {
            values.Add((Real)x);
        }
        var signed = values.Concat(values.Select(v => -v)).ToArray();
        for (var i = 0; i + Vector256<Real>.Count <= signed.Length; i += Vector256<Real>.Count)
        {
            yield return Vector256.Create(signed, i);
        }
    }

    // By way of double, which keeps every bit and the sign of a zero; any NaN equals any other.
    private static void AssertSameBits(Real actual, Real expected, string what) =>
        Assert.That(BitConverter.DoubleToInt64Bits(Real.IsNaN(actual) ? Real.NaN : actual),
            Is.EqualTo(BitConverter.DoubleToInt64Bits(Real.IsNaN(expected) ? Real.NaN : expected)), what);

    internal static readonly Function[] Functions =
    [
        new("exp", VectorMath.Exp, VectorMath.Exp),
        new("log", VectorMath.Log, VectorMath.Log),
        new("log1p", VectorMath.Log1p, VectorMath.Log1p),
        new("tanh", VectorMath.Tanh, VectorMath.Tanh),
        new("sigmoid", VectorMath.Sigmoid, VectorMath.Sigmoid),
        new("softplus", VectorMath.Softplus, VectorMath.Softplus),
        new("log sigmoid", VectorMath.LogSigmoid, VectorMath.LogSigmoid),
    ];

    public sealed record Function(string Name, Func<Vector256<Real>, Vector256<Real>> Vector, Func<Real, Real> Scalar)
    {
        public override string ToString() => Name;
    }
}
