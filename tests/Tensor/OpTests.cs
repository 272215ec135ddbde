using TinyDpo.Kernels;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

/// <summary>What each row of the op table gives its op.</summary>
public class OpTests
{
    // The spacing of Real at 1.
    private static readonly double s_ulp = sizeof(Real) == 4 ? 1.1920929e-7 : 2.220446e-16;

    [TestCaseSource(typeof(OpTable), nameof(OpTable.Rows))]
    public void ForwardMatchesTheDefinition(OpRow row)
    {
        using var backend = PoisonedBackend.Create();
        using var step = new StepScope(backend);
        var values = row.Values();
        var output = row.Build(backend, Tensors(backend, row, values));
        AssertClose(output.ToArray(), row.Reference(values), 4 * s_ulp * Math.Max(1, row.Terms), "output");
    }

    [TestCaseSource(typeof(OpTable), nameof(OpTable.Rows))]
    public void BackwardMatchesFiniteDifferences(OpRow row)
    {
        using var backend = PoisonedBackend.Create();
        using var step = new StepScope(backend);
        var values = row.Values();
        var inputs = Tensors(backend, row, values);
        var output = row.Build(backend, inputs);
        var cotangent = OpRow.Cotangent(output.Shape.Count);
        output.Backward(Real(cotangent));
        for (var input = 0; input < inputs.Length; input++)
        {
            var expected = Differences(row, values, input, cotangent);
            // Fourth-order differences in double are good to some 1e-11 of the largest term.
            AssertClose(inputs[input].GradToArray(), expected, Math.Max(1e-9, 8 * s_ulp * Math.Max(1, row.Terms)), $"gradient of input {input}");
        }
    }

    [TestCaseSource(typeof(OpTable), nameof(OpTable.Rows))]
    public void ASecondBackwardAddsTheSameAgain(OpRow row)
    {
        using var backend = PoisonedBackend.Create();
        using var step = new StepScope(backend);
        var inputs = Tensors(backend, row, row.Values());
        Real[][] Gradients()
        {
            var output = row.Build(backend, inputs);
            output.Backward(Real(OpRow.Cotangent(output.Shape.Count)));
            return [.. inputs.Select(static x => x.GradToArray())];
        }
        var once = Gradients();
        var twice = Gradients();
        for (var input = 0; input < inputs.Length; input++)
        {
            AssertClose(twice[input], [.. once[input].Select(static g => 2.0 * g)], 8 * s_ulp * Math.Max(1, row.Terms), $"gradient of input {input}");
        }
    }

    [TestCaseSource(typeof(OpTable), nameof(OpTable.Rows))]
    public void ThreadsDoNotChangeABit(OpRow row)
    {
        (Real[] Output, Real[][] Gradients) Run(int threads)
        {
            using var backend = PoisonedBackend.Create(threads);
            using var step = new StepScope(backend);
            var inputs = Tensors(backend, row, row.Values());
            var output = row.Build(backend, inputs);
            var values = output.ToArray();
            output.Backward(Real(OpRow.Cotangent(output.Shape.Count)));
            return (values, [.. inputs.Select(static x => x.GradToArray())]);
        }
        var (one, two) = (Run(1), Run(2));
        Assert.That(two.Output, Is.EqualTo(one.Output));
        Assert.That(two.Gradients, Is.EqualTo(one.Gradients));
    }

    [TestCaseSource(typeof(OpTable), nameof(OpTable.Rows))]
    public void NothingIsLeftOutAfterTheStep(OpRow row)
    {
        using var backend = PoisonedBackend.Create();
        int Step(bool gradients)
        {
            using (var step = new StepScope(backend, gradients))
            {
                var inputs = Tensors(backend, row, row.Values());
                var output = row.Build(backend, inputs);
                if (gradients)
                {
                    output.Backward(Real(OpRow.Cotangent(output.Shape.Count)));
                }
            }
            return backend.Memory.Outstanding;
        }
        var first = Step(gradients: true);
        var tables = row.Op == nameof(RotaryOp) ? 2 : 0; // each build makes a rotary table, which lives as long as the backend
        Assert.That(first, Is.EqualTo(tables));
        Assert.That(Step(gradients: true), Is.EqualTo(2 * tables));
        Assert.That(Step(gradients: false), Is.EqualTo(3 * tables));
    }

    [Test]
    public void EveryOpHasARow()
    {
        var ops = typeof(Op).Assembly.GetTypes().Where(static t => t.IsSubclassOf(typeof(Op)) && !t.IsAbstract).Select(static t => t.Name);
        Assert.That(ops.Except(OpTable.Rows().Select(static r => r.Op)), Is.Empty, "ops without a row in the op table");
    }

    private static Tensor[] Tensors(IBackend backend, OpRow row, double[][] values) =>
        [.. row.Inputs.Select((shape, i) => Tensor.From(backend, shape, Real(values[i]), requiresGrad: true))];

    private static Real[] Real(double[] values) => Array.ConvertAll(values, static v => (Real)v);

    private static double[] Differences(OpRow row, double[][] values, int input, double[] cotangent)
    {
        const double h = 1e-3;
        var x = values[input];
        var gradient = new double[x.Length];
        for (var i = 0; i < x.Length; i++)
        {
            var original = x[i];
            double At(double shift)
            {
                x[i] = original + shift;
                var y = row.Reference(values);
                x[i] = original;
                double sum = 0;
                for (var j = 0; j < y.Length; j++)
                {
                    sum += y[j] * cotangent[j];
                }
                return sum;
            }
            gradient[i] = ((8 * (At(h) - At(-h))) - (At(2 * h) - At(-2 * h))) / (12 * h);
        }
        return gradient;
    }

    private static void AssertClose(Real[] actual, double[] expected, double relative, string what)
    {
        Assert.That(actual, Has.Length.EqualTo(expected.Length), what);
        var scale = expected.Length == 0 ? 1 : Math.Max(1, expected.Max(Math.Abs));
        for (var i = 0; i < expected.Length; i++)
        {
            Assert.That((double)actual[i], Is.EqualTo(expected[i]).Within(relative * scale), $"{what}, element {i}");
        }
    }
}
