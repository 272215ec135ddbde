using System.Text;
using TinyDpo.Kernels;

namespace TinyDpo.Tests.Cuda;

/// <summary>What CudaBackend asks of NVIDIA's libraries when it starts, in which order, and what it says where they refuse.</summary>
public class CudaBackendStartTests : StubTests
{
    [Test]
    public void StartsAndStopsInCudasOrder() => EngineCopy.Run(StubFolder, static folder =>
    {
        using var stub = new StubSession(folder);
        var backend = new CudaBackend(new NativeCudaDriver(), new CudaOptions(Ordinal: 1, Tf32: true));
        Assert.That(stub.Calls(), Is.EqualTo(new[]
        {
            "cuInit 0",
            "cuDeviceGet 1",
            "cuDevicePrimaryCtxRetain 41",
            "cuCtxSetCurrent 0xf1f2f3f400000001",
            "cuStreamCreate 1",
            $"cuModuleLoadDataEx {Encoding.UTF8.GetByteCount(CudaModule.EmbeddedPtx())} 2 5=buffer 6=8192",
            "cublasCreate_v2",
            "cublasSetStream_v2 0xf1f2f3f400000007 0xf1f2f3f400000005",
            "cuMemAlloc_v2 4194304",
            "cublasSetWorkspace_v2 0xf1f2f3f400000007 0xc1c2c3c400000100 4194304",
            "cublasSetMathMode 0xf1f2f3f400000007 3",
        }), "the workspace after the stream, which would reset it; the PTX with its NUL");
        backend.Dispose();
        Assert.That(stub.Calls(), Is.EqualTo(new[]
        {
            "cuStreamSynchronize 0xf1f2f3f400000005",
            "cublasDestroy_v2 0xf1f2f3f400000007",
            "cuMemFree_v2 0xc1c2c3c400000100",
            "cuModuleUnload 0xf1f2f3f400000002",
            "cuStreamDestroy_v2 0xf1f2f3f400000005",
            "cuDevicePrimaryCtxRelease_v2 41",
        }));
    });

    [TestCase("cuInit", 100, "cuInit failed with CUDA_ERROR_NO_DEVICE; no such card: see `tinydpo devices`, or use --device cpu")]
    [TestCase("cuDeviceGet", 101, "cuDeviceGet failed with CUDA_ERROR_INVALID_DEVICE; no such card: see `tinydpo devices`, or use --device cpu")]
    [TestCase(
        "cuModuleLoadDataEx", 222,
        "cuModuleLoadDataEx failed with CUDA_ERROR_UNSUPPORTED_PTX_VERSION (line 7: a complaint from the stub); " +
        "the driver is too old for the kernels: install a newer NVIDIA driver")]
    [TestCase(
        "cuMemAlloc_v2", 2,
        "cuMemAlloc failed with CUDA_ERROR_OUT_OF_MEMORY; give smaller batches (--token-budget), or free memory on the card")]
    [TestCase("cublasCreate_v2", 1, "cublasCreate failed with CUBLAS_STATUS_NOT_INITIALIZED; see `tinydpo devices`, or use --device cpu")]
    public void ARefusalIsOneLineWithCudasNameAndTheRemedy(string entryPoint, int result, string message) =>
        EngineCopy.Run($"{StubFolder}|{entryPoint}|{result}|{message}", static argument =>
        {
            var parts = argument.Split('|');
            using var stub = new StubSession(parts[0]);
            stub.Fail(parts[1], int.Parse(parts[2], System.Globalization.CultureInfo.InvariantCulture));
            Assert.That(
                Assert.Throws<CudaException>(static () => new CudaBackend(new NativeCudaDriver()).Dispose())!.Message, Is.EqualTo(parts[3]));
        });
}
