using TinyDpo.Kernels;

namespace TinyDpo.Tests.Cuda;

[TestFixture(CudaDevice.Simulated)]
[TestFixture(CudaDevice.Card, Category = "Gpu")]
public class ElementwiseKernelTests(CudaDevice device) : KernelTests(device)
{
    private static readonly int[] s_sizes = [0, 1, 31, 33, 1000, 8191];

    [Test]
    public void FunctionsOfOneNumberHaveTheBitsOfTheCpu([Values] UnaryFunction f, [ValueSource(nameof(s_sizes))] int n, [Values(0, 3)] int offset)
    {
        var x = DevicePair.SpecialNumbers(1, n);
        Devices.RequireSameBits(offset, [x, DevicePair.Numbers(2, n)], (backend, b) => backend.Unary(f, b[0], b[1]));
        float[][] backward = [x, DevicePair.SpecialNumbers(2, n), DevicePair.SpecialNumbers(3, n), DevicePair.SpecialNumbers(4, n)];
        Devices.RequireSameBits(offset, backward, (backend, b) => backend.UnaryBackward(f, b[0], b[1], b[2], b[3], accumulate: false));
        Devices.RequireSameBits(offset, backward, (backend, b) => backend.UnaryBackward(f, b[0], b[1], b[2], b[3], accumulate: true));
    }

    [Test]
    public void FunctionsOfTwoNumbersHaveTheBitsOfTheCpu([Values] BinaryFunction f, [ValueSource(nameof(s_sizes))] int n, [Values(0, 1)] int offset)
    {
        float[][] arrays = [.. Enumerable.Range(1, 4).Select(which => DevicePair.SpecialNumbers(which, n))];
        Devices.RequireSameBits(offset, arrays, (backend, b) => backend.Binary(f, b[0], b[1], b[3]));
        foreach (var accumulate in new[] { false, true })
        {
            Devices.RequireSameBits(offset, arrays, (backend, b) => backend.BinaryBackwardFirst(f, b[0], b[1], b[2], b[3], accumulate));
            Devices.RequireSameBits(offset, arrays, (backend, b) => backend.BinaryBackwardSecond(f, b[0], b[1], b[2], b[3], accumulate));
        }
    }

    [Test]
    public void AffineAndSwiGluHaveTheBitsOfTheCpu([ValueSource(nameof(s_sizes))] int n, [Values(0, 2)] int offset, [Values] bool accumulate)
    {
        float[][] arrays = [.. Enumerable.Range(1, 5).Select(which => DevicePair.SpecialNumbers(which, n))];
        Devices.RequireSameBits(offset, arrays, (backend, b) => backend.Affine(b[0], 1.7f, -0.3f, b[3], accumulate));
        Devices.RequireSameBits(offset, arrays, (backend, b) => backend.SwiGlu(b[0], b[1], b[3]));
        Devices.RequireSameBits(
            offset, arrays, (backend, b) => backend.SwiGluBackward(b[0], b[1], b[2], b[3], accumulate, b[4], !accumulate));
    }

    [Test]
    public void GateAndUpMayBeOneTensor([Values(5, 1024)] int n)
    {
        float[][] arrays = [DevicePair.Numbers(1, n), DevicePair.Numbers(2, n), DevicePair.Numbers(3, n)];
        Devices.RequireSameBits(
            0, arrays, static (backend, b) => backend.SwiGluBackward(b[0], b[0], b[1], b[2], accumulateGate: false, b[2], accumulateUp: true));
    }

    [Test]
    public void AFunctionMayOverwriteItsInput() =>
        Devices.RequireSameBits(0, [DevicePair.Numbers(1, 3001)], static (backend, b) => backend.Unary(UnaryFunction.Exp, b[0], b[0]));

    [Test]
    public void OptimisersHaveTheBitsOfTheCpu([ValueSource(nameof(s_sizes))] int n, [Values(0, 1)] int offset)
    {
        var step = new AdamWStep(1e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, 1 - 0.9f, 1 - 0.999f);
        float[] square = [.. DevicePair.Numbers(4, n).Select(static v => v * v)];
        float[][] arrays = [DevicePair.Numbers(1, n), DevicePair.SpecialNumbers(2, n), DevicePair.Numbers(3, n), square];
        Devices.RequireSameBits(offset, arrays, (backend, b) => backend.AdamW(b[0], b[1], 0.37f, b[2], b[3], step));
        Devices.RequireSameBits(offset, arrays, (backend, b) => backend.Sgd(b[0], b[1], 0.37f, null, 0.01f, 0));
        Devices.RequireSameBits(offset, arrays, (backend, b) => backend.Sgd(b[0], b[1], 0.37f, b[2], 0.01f, 0.9f));
        Devices.RequireSameBits(offset, arrays, (backend, b) => backend.RmsProp(b[0], b[1], 0.37f, b[3], 0.01f, 0.99f, 1e-8f));
    }
}
