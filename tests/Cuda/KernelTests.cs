using NUnit.Framework.Interfaces;

namespace TinyDpo.Tests.Cuda;

/// <summary>Tests that share one pair of devices, which a failed test may have left unusable: then the next gets a new one.</summary>
public abstract class KernelTests(CudaDevice device, bool counters = false)
{
    private DevicePair? _devices;

    private protected DevicePair Devices => _devices!;

    [SetUp]
    public void Open() => _devices ??= new DevicePair(device, counters);

    [TearDown]
    public void DropAfterAFailure()
    {
        if (TestContext.CurrentContext.Result.Outcome.Status == TestStatus.Failed)
        {
            Drop();
        }
    }

    [OneTimeTearDown]
    public void Drop()
    {
        _devices?.Dispose();
        _devices = null;
    }
}
