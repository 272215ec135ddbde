using TinyDpo.Kernels;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

/// <summary>
/// One row of the op table: an op at one size, with its definition in plain double loops. The row alone gives it a forward test, a gradient
/// check, and a run on poisoned memory with 1 and 2 threads.
/// </summary>
public sealed record OpRow
{
    public required string Name { get; init; }

    /// <summary>The class of the op, for the test that each has a row.</summary>
    public required string Op { get; init; }

    public required Shape[] Inputs { get; init; }

    /// <summary>Applies the op to tensors of the shapes in <see cref="Inputs"/>.</summary>
    public required Func<IBackend, Tensor[], Tensor> Build { get; init; }

    /// <summary>The same in double, from the inputs' values, row by row.</summary>
    public required Func<double[][], double[]> Reference { get; init; }

    /// <summary>Inputs are uniform in [Low, High).</summary>
    public double Low { get; init; } = -1;

    public double High { get; init; } = 1;

    /// <summary>The number of terms in the longest sum behind one value: rounding grows with it.</summary>
    public int Terms { get; init; } = 1;

    public override string ToString() => Name;

    /// <summary>
    /// Inputs that float holds exactly, so that both precisions start from the same numbers; none so near 0 that a finite difference
    /// would step over the kink of relu or abs.
    /// </summary>
    public double[][] Values() =>
    [
        .. Inputs.Select((shape, input) => Enumerable.Range(0, shape.Count)
            .Select(i => (double)(float)(Low + ((High - Low) * Philox.Uniform(7, RandomPurpose.Test, 0, input, i))))
            .Select(static v => Math.Abs(v) < 0.01 ? 0.01 : v).ToArray()),
    ];

    public static double[] Cotangent(int length) =>
        [.. Enumerable.Range(0, length).Select(i => (double)(float)((2 * Philox.Uniform(7, RandomPurpose.Test, 1, 0, i)) - 1))];
}
