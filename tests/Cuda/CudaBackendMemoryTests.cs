using TinyDpo.Kernels;
using TinyDpo.Simulator;

namespace TinyDpo.Tests.Cuda;

/// <summary>A card whose memory ends: 8 MiB, of which cuBLAS's workspace takes 4.</summary>
public class CudaBackendMemoryTests
{
    private const int Mebi = (1 << 20) / sizeof(float);

    private CudaBackend _backend = null!;

    [SetUp]
    public void Open() => _backend = new CudaBackend(new SimulatedCudaDriver(new SimulatorOptions { MemoryBytes = 8 << 20, Threads = 1 }));

    [TearDown]
    public void Close() => _backend?.Dispose();

    /// <summary>The simulator refuses to free what work that was not waited for still uses.</summary>
    [Test]
    public void BlocksThatNobodyUsesMakeRoomForAnotherSize()
    {
        using (var scope = new MemoryScope(_backend))
        {
            _backend.Fill(_backend.Memory.Rent(2 * Mebi), 1);
        }
        using (var scope = new MemoryScope(_backend))
        {
            _backend.Fill(_backend.Memory.Rent(3 * Mebi), 1);
            Assert.That(_backend.Memory.Bytes, Is.EqualTo(3 << 20));
        }
    }

    [Test]
    public void WhatIsInUseStays()
    {
        using var scope = new MemoryScope(_backend);
        var kept = _backend.Memory.Rent(3 * Mebi);
        _backend.Fill(kept, 2);
        _backend.Memory.Return(_backend.Memory.Rent(Mebi / 2));
        Assert.That(() => _backend.Memory.Rent(2 * Mebi), Throws.TypeOf<CudaException>().With.Message.Contains("CUDA_ERROR_OUT_OF_MEMORY"));
        var values = new float[kept.Length];
        _backend.Download(kept, values);
        Assert.That(values.AsSpan().ContainsAnyExcept(2f), Is.False);
    }
}
