using TinyDpo.Kernels;
using TinyDpo.Simulator;

namespace TinyDpo.Tests.Cuda;

/// <summary>The CPU and a CUDA device, for calls that are made on both.</summary>
internal sealed class DevicePair : IDisposable
{
    private readonly SimulatedCudaDriver? _counting;

    /// <param name="device">The CUDA device.</param>
    /// <param name="counters">Whether launches are counted, which only the simulated one does.</param>
    public DevicePair(CudaDevice device, bool counters = false)
    {
        if (counters)
        {
            _counting = new SimulatedCudaDriver(new SimulatorOptions { Counters = true });
        }
        Cuda = _counting is null ? CudaDevices.Open(device) : new CudaBackend(_counting);
        Cpu = new CpuBackend(threads: 1);
    }

    public CpuBackend Cpu { get; }

    public CudaBackend Cuda { get; }

    /// <summary>Numbers from a normal distribution; no two values of <paramref name="which"/> give the same.</summary>
    public static float[] Numbers(int which, int count) =>
        [.. Enumerable.Range(0, count).Select(i => (float)Philox.Normal(7, RandomPurpose.Test, 0, which, i))];

    /// <summary>The same with every 13th number a special one: zeros, infinities, NaN, denormals, the largest.</summary>
    public static float[] SpecialNumbers(int which, int count)
    {
        float[] special =
        [
            0, -0f, float.NaN, float.PositiveInfinity, float.NegativeInfinity, float.Epsilon, -float.Epsilon, 1e-40f, -1e-40f, float.MaxValue,
            float.MinValue, 1.1754944e-38f, -88.5f, 88.5f, 89.5f, -104.5f, 1, -1, 0.625f,
        ];
        var numbers = Numbers(which, count);
        for (var i = which % 13; i < count; i += 13)
        {
            numbers[i] = special[((i / 13) + which) % special.Length];
        }
        return numbers;
    }

    /// <summary>
    /// What a call makes of the arrays, on one device. They lie <paramref name="offset"/> elements behind an aligned address; those that
    /// the call writes begin with what they hold.
    /// </summary>
    public static float[][] Run(IBackend backend, int offset, float[][] arrays, Action<IBackend, DeviceBuffer[]> call)
    {
        using var scope = new MemoryScope(backend);
        var buffers = arrays.Select(array =>
        {
            var buffer = backend.Memory.Rent(array.Length + offset).Slice(offset, array.Length);
            backend.Upload(array, buffer);
            return buffer;
        }).ToArray();
        call(backend, buffers);
        return [.. buffers.Select(buffer => Download(backend, buffer))];
    }

    /// <summary>The call leaves the same bits on both devices, but for a NaN's payload.</summary>
    public void RequireSameBits(int offset, float[][] arrays, Action<IBackend, DeviceBuffer[]> call)
    {
        var expected = Run(Cpu, offset, arrays, call);
        var actual = Run(Cuda, offset, arrays, call);
        for (var k = 0; k < arrays.Length; k++)
        {
            RequireSameBits(expected[k], actual[k], $"array {k}");
        }
    }

    public static void RequireSameBits(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, string what)
    {
        Assert.That(actual.Length, Is.EqualTo(expected.Length), what);
        for (var i = 0; i < expected.Length; i++)
        {
            var same = BitConverter.SingleToInt32Bits(expected[i]) == BitConverter.SingleToInt32Bits(actual[i]);
            if (!same && !(float.IsNaN(expected[i]) && float.IsNaN(actual[i])))
            {
                Assert.Fail($"{what}, element {i} of {expected.Length}: {actual[i]:R} where the CPU has {expected[i]:R}");
            }
        }
    }

    public static IndexBuffer Indices(IBackend backend, int[] values)
    {
        var buffer = backend.Memory.RentIndex(values.Length);
        backend.Upload(values, buffer);
        return buffer;
    }

    public static float[] Download(IBackend backend, DeviceBuffer buffer)
    {
        var values = new float[buffer.Length];
        backend.Download(buffer, values);
        return values;
    }

    /// <summary>What the launches since the last call of this cost, by kernel.</summary>
    public IReadOnlyDictionary<string, LaunchCounters> TakeCounters()
    {
        Cuda.Synchronise();
        var counters = _counting!.Counters.ToDictionary(static c => c.Kernel);
        _counting.ResetCounters();
        return counters;
    }

    public void Dispose()
    {
        Cpu.Dispose();
        Cuda.Dispose();
    }
}
