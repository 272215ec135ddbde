using NUnit.Framework.Interfaces;
using TinyDpo.Kernels;

namespace TinyDpo.Tests;

/// <summary>Tests that share one device. A kernel that fails leaves it unusable, so after a failed test the next gets a new one.</summary>
public abstract class CudaDeviceTests(CudaDevice device)
{
    private CudaBackend? _opened;

    protected CudaBackend Cuda => _opened ??= CudaDevices.Open(device);

    [TearDown]
    public void CloseAfterAFailure()
    {
        if (TestContext.CurrentContext.Result.Outcome.Status == TestStatus.Failed)
        {
            Close();
        }
    }

    [OneTimeTearDown]
    public void Close()
    {
        _opened?.Dispose();
        _opened = null;
    }
}
