using TinyDpo.Kernels;

namespace TinyDpo.Tests.Cuda;

/// <summary>The elementary functions of kernels.cu have the bits of VectorMath, over all floats with a stride.</summary>
[TestFixture(CudaDevice.Simulated)]
[TestFixture(CudaDevice.Card, Category = "Gpu")]
public class ElementaryFunctionTests(CudaDevice device)
{
    private static readonly UnaryFunction[] s_functions =
        [UnaryFunction.Exp, UnaryFunction.Log, UnaryFunction.Tanh, UnaryFunction.Sigmoid, UnaryFunction.LogSigmoid, UnaryFunction.Gelu];

    [Test]
    public void AgreeEverywhere([ValueSource(nameof(s_functions))] UnaryFunction f) => Sweep(f, 100_003);

    [Test]
    [Category("Long")]
    public void AgreeEverywhereAtAFineStride([ValueSource(nameof(s_functions))] UnaryFunction f) => Sweep(f, 1009);

    private void Sweep(UnaryFunction f, uint stride)
    {
        using var devices = new DevicePair(device);
        const int batch = 1 << 20;
        for (ulong bits = 0; bits < 1UL << 32; bits += (ulong)stride * batch)
        {
            var count = (int)Math.Min(batch, ((1UL << 32) - bits + stride - 1) / stride);
            var x = new float[count];
            for (var i = 0; i < count; i++)
            {
                x[i] = BitConverter.UInt32BitsToSingle((uint)(bits + ((ulong)i * stride)));
            }
            devices.RequireSameBits(0, [x, new float[count]], (backend, b) => backend.Unary(f, b[0], b[1]));
        }
    }
}
