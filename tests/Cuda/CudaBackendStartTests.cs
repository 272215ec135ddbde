using System.Text;
using TinyDpo.Kernels;
using TinyDpo.Simulator;

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
            "cuCtxSetCurrent 0xf1f2f3f400000001",
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

    /// <summary>What a refused start had taken is given back, the last first, and the driver with it.</summary>
    [TestCase("cuInit", "")]
    [TestCase("cuDevicePrimaryCtxRetain", "")]
    [TestCase("cuCtxSetCurrent", "cuDevicePrimaryCtxRelease_v2")]
    [TestCase("cuStreamCreate", "cuDevicePrimaryCtxRelease_v2")]
    [TestCase("cuModuleLoadDataEx", "cuStreamDestroy_v2 cuDevicePrimaryCtxRelease_v2")]
    [TestCase("cublasCreate_v2", "cuModuleUnload cuStreamDestroy_v2 cuDevicePrimaryCtxRelease_v2")]
    [TestCase("cuMemAlloc_v2", "cublasDestroy_v2 cuModuleUnload cuStreamDestroy_v2 cuDevicePrimaryCtxRelease_v2")]
    [TestCase("cublasSetWorkspace_v2", "cublasDestroy_v2 cuMemFree_v2 cuModuleUnload cuStreamDestroy_v2 cuDevicePrimaryCtxRelease_v2")]
    public void ARefusedStartGivesBackWhatItTook(string entryPoint, string releases) =>
        EngineCopy.Run($"{StubFolder}|{entryPoint}|{releases}", static argument =>
        {
            var parts = argument.Split('|');
            using var stub = new StubSession(parts[0]);
            stub.Fail(parts[1], 2);
            Assert.Throws<CudaException>(static () => new CudaBackend(new NativeCudaDriver()).Dispose());
            var names = stub.Calls().Select(static call => call.Split(' ')[0]).ToList();
            Assert.That(string.Join(' ', names.Skip(names.IndexOf(parts[1]) + 1).Where(static name => name != "cuGetErrorName")), Is.EqualTo(parts[2]));
        });

    /// <summary>After an error every call of the card may return it, on a new thread the first one already.</summary>
    [Test]
    public void AFailedCardIsGivenBackWithoutAnotherError() => EngineCopy.Run(StubFolder, static folder =>
    {
        using var stub = new StubSession(folder);
        var backend = new CudaBackend(new NativeCudaDriver());
        stub.Calls();
        stub.Fail("cuCtxSetCurrent", 700);
        Exception? thrown = null;
        var thread = new Thread(() =>
        {
            try
            {
                backend.Dispose();
            }
            catch (CudaException e)
            {
                thrown = e;
            }
        });
        thread.Start();
        thread.Join();
        Assert.That(thrown, Is.Null);
        Assert.That(stub.Calls()[^1], Is.EqualTo("cuDevicePrimaryCtxRelease_v2 40"));
    });

    [Test]
    public void OnTheSimulatorARefusedStartLeavesNothing() => Assert.That(
        static () => new CudaBackend(new SimulatedCudaDriver(), ptx: ".version 9.9\n.target sm_70\n"), Throws.TypeOf<CudaException>(),
        "and not the simulator's list of what was not released");
}
