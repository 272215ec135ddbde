using TinyDpo.Kernels;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

/// <summary>Optimisers against plain double loops over several steps, schedules against their formulas, and what guards an update.</summary>
public class OptimiserTests
{
    private const int Steps = 7;
    private static readonly (string Name, Shape Shape)[] s_layout = [("a", Shape.Matrix(5, 7)), ("b", Shape.Vector(3)), ("c", Shape.Matrix(130, 40))];

    private CpuBackend _backend = null!;
    private ParameterSet _parameters = null!;

    [SetUp]
    public void Open()
    {
        _backend = PoisonedBackend.Create(threads: 2);
        _parameters = new ParameterSet(_backend, s_layout);
        foreach (var ((_, tensor), i) in _parameters.Tensors.Select(static (t, i) => (t, i)))
        {
            Put(tensor.Data, TinyModels.Random(1, i, tensor.Shape.Count));
        }
    }

    [TearDown]
    public void Close() => _backend.Dispose();

    [Test]
    public void AdamW()
    {
        var (m, v) = (new double[Count], new double[Count]);
        Compare(new AdamW(_parameters, 0.8, 0.95, 1e-6, 0.1), (p, g, rate, step) =>
        {
            for (var i = 0; i < p.Length; i++)
            {
                m[i] = (0.8 * m[i]) + (0.2 * g[i]);
                v[i] = (0.95 * v[i]) + (0.05 * g[i] * g[i]);
                p[i] -= rate * 0.1 * p[i];
                p[i] -= rate * (m[i] / (1 - Math.Pow(0.8, step))) / (Math.Sqrt(v[i] / (1 - Math.Pow(0.95, step))) + 1e-6);
            }
        });
    }

    /// <summary>Where float keeps few digits of 1 - 0.999: the first update is the rate times the sign of the gradient.</summary>
    [Test]
    public void TheFirstStepOfAdamWHasTheLengthOfTheLearningRate()
    {
        var before = Values();
        SetGradients(0);
        new AdamW(_parameters, epsilon: 1e-16, weightDecay: 0).Step(1);
        foreach (var ((now, was), gradient) in Values().Zip(before).Zip(Gradient(0)))
        {
            Assert.That(was - now, Is.EqualTo((double)Math.Sign(gradient)).Within(sizeof(Real) == 4 ? 1e-6 : 1e-9));
        }
    }

    [Test]
    public void Sgd() => Compare(new Sgd(_parameters), static (p, g, rate, _) =>
    {
        for (var i = 0; i < p.Length; i++)
        {
            p[i] -= rate * g[i];
        }
    });

    [Test]
    public void SgdWithMomentum()
    {
        var velocity = new double[Count];
        Compare(new Sgd(_parameters, momentum: 0.9), (p, g, rate, _) =>
        {
            for (var i = 0; i < p.Length; i++)
            {
                velocity[i] = (0.9 * velocity[i]) + g[i];
                p[i] -= rate * velocity[i];
            }
        });
    }

    [Test]
    public void RmsProp()
    {
        var square = new double[Count];
        Compare(new RmsProp(_parameters, 0.9, 1e-5), (p, g, rate, _) =>
        {
            for (var i = 0; i < p.Length; i++)
            {
                square[i] = (0.9 * square[i]) + (0.1 * g[i] * g[i]);
                p[i] -= rate * g[i] / (Math.Sqrt(square[i]) + 1e-5);
            }
        });
    }

    [Test]
    public void AParameterThatNoBackwardReachedStandsStill()
    {
        SetGradients(0);
        _parameters.ClearGradients();
        Put(_parameters["b"].GradientTarget(out _), [1, 1, 1]);
        var before = Values();
        new Sgd(_parameters).Step(0.5);
        var after = Values();
        Assert.That(after[..35], Is.EqualTo(before[..35]));
        Assert.That(after[38..], Is.EqualTo(before[38..]));
        Assert.That(after[35..38], Is.EqualTo(before[35..38].Select(static v => (double)(Real)(v - 0.5))));
    }

    [Test]
    public void TheGradientNormIsThatOfAllParameters()
    {
        SetGradients(2);
        Assert.That(_parameters.GradientNorm(), Is.EqualTo(Math.Sqrt(Gradient(2).Sum(static g => g * g))).Within(1e-9));
    }

    [TestCase(System.Single.NaN)]
    [TestCase(System.Single.PositiveInfinity)]
    [TestCase(System.Single.NegativeInfinity)]
    public void AGradientThatIsNotFiniteIsFoundAndNamed(float bad)
    {
        SetGradients(0);
        var values = Gradient(0)[..35];
        values[34] = bad;
        Put(_parameters["a"].Grad!, values);
        var before = Values();
        var error = Assert.Throws<NonFiniteException>(() => _parameters.GradientNorm());
        Assert.That(error!.Message, Does.Contain("gradient of a "));
        Assert.That(Values(), Is.EqualTo(before));
    }

    [Test]
    public void ClippingBringsTheNormDownToItsBoundAndNeverUp()
    {
        Assert.That(GradientClipping.Scale(10, 2.5) * 10, Is.EqualTo(2.5).Within(1e-6));
        Assert.That(GradientClipping.Scale(2.5, 2.5), Is.EqualTo(1));
        Assert.That(GradientClipping.Scale(0, 1), Is.EqualTo(1));
        Assert.That(GradientClipping.Scale(1e9, 0), Is.EqualTo(1), "0 means no clipping");
    }

    [TestCase(0)]
    [TestCase(4)]
    public void SchedulesFollowTheirFormulas(int warmup)
    {
        const int total = 20;
        const double peak = 3e-4;
        for (var step = 0; step < total + 3; step++)
        {
            var left = Math.Max(0, (double)(total - step) / (total - warmup));
            var (constant, linear, cosine) = step < warmup
                ? (peak * step / warmup, peak * step / warmup, peak * step / warmup)
                : (peak, peak * left, step > total ? double.NaN : peak * (1 + Math.Cos(Math.PI * (1 - left))) / 2);
            Assert.That(At(ScheduleKind.Constant, step), Is.EqualTo(constant).Within(1e-18));
            Assert.That(At(ScheduleKind.Linear, step), Is.EqualTo(linear).Within(1e-18));
            if (!double.IsNaN(cosine))
            {
                Assert.That(At(ScheduleKind.Cosine, step), Is.EqualTo(cosine).Within(1e-18));
            }
        }
        Assert.That(At(ScheduleKind.Linear, warmup), Is.EqualTo(peak));
        Assert.That(At(ScheduleKind.Cosine, (total + warmup) / 2), Is.EqualTo(peak / 2).Within(1e-18));

        double At(ScheduleKind kind, int step) => new LearningRateSchedule(kind, peak, warmup, total).At(step);
    }

    /// <summary>Several steps with a scaled gradient and a rate that changes, as clipping and schedules make them.</summary>
    private void Compare(Optimiser optimiser, Action<double[], double[], double, int> reference)
    {
        var expected = Values();
        for (var step = 1; step <= Steps; step++)
        {
            var (rate, scale) = (0.01 * step, 1.0 / step);
            SetGradients(step);
            optimiser.Step(rate, scale);
            reference(expected, [.. Gradient(step).Select(g => g * scale)], rate, step);
            Assert.That(optimiser.Steps, Is.EqualTo(step));
        }
        var actual = Values();
        for (var i = 0; i < expected.Length; i++)
        {
            Assert.That(actual[i], Is.EqualTo(expected[i]).Within(sizeof(Real) == 4 ? 1e-6 : 1e-13), $"parameter {i}");
        }
    }

    private int Count => (int)_parameters.Count;

    private static double[] Gradient(int step) =>
        [.. s_layout.SelectMany((entry, i) => TinyModels.Random(2, (10 * step) + i, entry.Shape.Count).Select(static g => (double)(float)(g + 0.01)))];

    private void SetGradients(int step)
    {
        _parameters.ClearGradients();
        var (all, at) = (Gradient(step), 0);
        foreach (var (_, tensor) in _parameters.Tensors)
        {
            Put(tensor.GradientTarget(out _), all[at..(at + tensor.Shape.Count)]);
            at += tensor.Shape.Count;
        }
    }

    private void Put(DeviceBuffer buffer, double[] values) => _backend.Upload(Array.ConvertAll(values, static v => (Real)(float)v), buffer);

    private double[] Values() => [.. _parameters.Tensors.SelectMany(static t => t.Value.ToArray()).Select(static v => (double)v)];
}
