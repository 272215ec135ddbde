using TinyDpo.Kernels;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

/// <summary>Every row of the op table on the CUDA backend against the CPU: forward, backward, and a backward that adds.</summary>
[TestFixture(CudaDevice.Simulated)]
[TestFixture(CudaDevice.Card, Category = "Gpu")]
public class DeviceOpTests(CudaDevice device) : CudaDeviceTests(device)
{
    // Ops in which no number is a sum: the devices agree to the bit.
    private static readonly HashSet<string> s_exact =
    [
        nameof(UnaryOp), nameof(BinaryOp), nameof(AffineOp), nameof(SwiGluOp), nameof(SliceOp), nameof(RowGatherOp), nameof(RotaryOp),
    ];

    private CpuBackend _cpu = null!;

    [OneTimeSetUp]
    public void OpenCpu() => _cpu = PoisonedBackend.Create();

    [OneTimeTearDown]
    public void CloseCpu() => _cpu.Dispose();

    [TestCaseSource(typeof(OpTable), nameof(OpTable.Rows))]
    [TestCaseSource(typeof(OpTable), nameof(OpTable.DeviceRows))]
    public void GivesTheNumbersOfTheCpu(OpRow row)
    {
        var outstanding = Cuda.Memory.Outstanding;
        var (expected, actual) = (Run(_cpu, row), Run(Cuda, row));
        Assert.That(actual, Has.Length.EqualTo(expected.Length));
        for (var i = 0; i < expected.Length; i++)
        {
            AssertAgree(actual[i], expected[i], row, $"{(i == 0 ? "output" : $"gradient {i - 1}")}");
        }
        var tables = row.Op == nameof(RotaryOp) ? 4 : 0; // each of the two passes makes a rotary table, which lives as long as the backend
        Assert.That(Cuda.Memory.Outstanding - outstanding, Is.EqualTo(tables), "buffers that were not given back");
    }

    /// <summary>The output, each input's gradient, and each input's gradient after a second backward.</summary>
    private static Real[][] Run(IBackend backend, OpRow row)
    {
        using var step = new StepScope(backend);
        var inputs = row.Inputs.Select((shape, i) => Tensor.From(
            backend, shape, Array.ConvertAll(row.Values()[i], static v => (Real)v), requiresGrad: true)).ToArray();
        var results = new List<Real[]>();
        for (var pass = 0; pass < 2; pass++)
        {
            var output = row.Build(backend, inputs);
            if (pass == 0)
            {
                results.Add(output.ToArray());
            }
            output.Backward(Array.ConvertAll(OpRow.Cotangent(output.Shape.Count), static v => (Real)v));
            results.AddRange(inputs.Select(static x => x.GradToArray()));
        }
        return [.. results];
    }

    private static void AssertAgree(Real[] actual, Real[] expected, OpRow row, string what)
    {
        Assert.That(actual, Has.Length.EqualTo(expected.Length), what);
        if (s_exact.Contains(row.Op))
        {
            for (var i = 0; i < expected.Length; i++)
            {
                Assert.That(BitConverter.SingleToInt32Bits(actual[i]), Is.EqualTo(BitConverter.SingleToInt32Bits(expected[i])), $"{what}, element {i}");
            }
            return;
        }

        // A few ulp of the largest value, times log2 of the longest sum.
        const double ulp = 1.1920929e-7;
        var scale = expected.Length == 0 ? 1 : Math.Max(1, expected.Max(static v => Math.Abs((double)v)));
        var bound = 4 * ulp * scale * Math.Max(1, Math.Log2(row.Terms));
        for (var i = 0; i < expected.Length; i++)
        {
            Assert.That((double)actual[i], Is.EqualTo((double)expected[i]).Within(bound), $"{what}, element {i}");
        }
    }
}
