using System.Text;
using TinyDpo.Kernels;

namespace TinyDpo.Tests.Cuda;

/// <summary>One call of the driver with arguments that differ from each other, and what the recording stubs make of it.</summary>
/// <param name="Recorded">The line that the stub logs: entry point, arguments.</param>
/// <param name="Outputs">What the stub gives back, as a tuple where it is more than one; null for nothing.</param>
/// <param name="Make">Makes the call and gives its result and outputs.</param>
internal sealed unsafe record NativeCall(string Recorded, object? Outputs, Func<ICudaDriver, (int Result, object? Outputs)> Make)
{
    // Handles and addresses fill all 64 bits, as do the stub's own.
    private const string Prefix = "0xe1e2e3e4000000";

    public string EntryPoint => Recorded.Split(' ')[0];

    /// <summary>The method of <see cref="ICudaDriver"/>: the entry point without its version.</summary>
    public string Method => EntryPoint.EndsWith("_v2", StringComparison.Ordinal) ? EntryPoint[..^3] : EntryPoint;

    /// <summary>Every call, once.</summary>
    public static IReadOnlyList<NativeCall> All { get; } =
    [
        new("cuInit 4000000001", null, static d => (d.cuInit(4000000001), null)),
        new("cuDriverGetVersion", 12040, static d => (d.cuDriverGetVersion(out var v), v)),
        new("cuGetErrorName 222", "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", static d => (d.cuGetErrorName(222, out var text), Utf8(text))),
        new("cuGetErrorString -5", "a text from the stub", static d => (d.cuGetErrorString(-5, out var text), Utf8(text))),
        new("cuDeviceGetCount", 2, static d => (d.cuDeviceGetCount(out var count), count)),
        new("cuDeviceGet 3", 43, static d => (d.cuDeviceGet(out var device, 3), device)),
        new("cuDeviceGetName 64 41", "stub card 41", DeviceName),
        new("cuDeviceGetAttribute 16 41", 116, static d => (d.cuDeviceGetAttribute(out var value, 16, 41), value)),
        new("cuDeviceTotalMem_v2 41", unchecked((nuint)0x0000000280000001), static d => (d.cuDeviceTotalMem(out var bytes, 41), bytes)),
        new("cuDevicePrimaryCtxRetain 41", Given(1), static d => (d.cuDevicePrimaryCtxRetain(out var context, 41), context)),
        new("cuDevicePrimaryCtxRelease_v2 42", null, static d => (d.cuDevicePrimaryCtxRelease(42), null)),
        new($"cuCtxSetCurrent {Prefix}01", null, static d => (d.cuCtxSetCurrent(Sent(1)), null)),
        new("cuMemGetInfo_v2", (unchecked((nuint)0xA1A2A3A400000001), unchecked((nuint)0xB1B2B3B400000002)), MemGetInfo),
        new("cuModuleLoadDataEx 7 2 5=buffer 6=32", (Given(2), ""), ModuleLoad),
        new($"cuModuleUnload {Prefix}02", null, static d => (d.cuModuleUnload(Sent(2)), null)),
        new($"cuModuleGetFunction {Prefix}02 softmax", Given(3), ModuleGetFunction),
        new($"cuFuncSetAttribute {Prefix}03 8 65536", null, static d => (d.cuFuncSetAttribute(Sent(3), 8, 65536), null)),
        new("cuMemAlloc_v2 1311768467463790320", unchecked((nint)0xC1C2C3C400000100), static d => (d.cuMemAlloc(out var a, Large), a)),
        new($"cuMemFree_v2 {Prefix}04", null, static d => (d.cuMemFree(Sent(4)), null)),
        new("cuMemAllocHost_v2 1311768467463790320", Given(4), static d => (d.cuMemAllocHost(out var host, Large), host)),
        new($"cuMemFreeHost {Prefix}05", null, static d => (d.cuMemFreeHost(Sent(5)), null)),
        new($"cuMemcpyHtoDAsync_v2 {Prefix}06 01fe7f 3 {Prefix}07", null, CopyToDevice),
        new($"cuMemcpyDtoHAsync_v2 {Prefix}08 2 {Prefix}09", "5A-5A-00", CopyToHost),
        new(
            $"cuMemcpyDtoDAsync_v2 {Prefix}0a {Prefix}0b 1311768467463790320 {Prefix}0c", null,
            static d => (d.cuMemcpyDtoDAsync(Sent(10), Sent(11), Large, Sent(12)), null)),
        new(
            $"cuMemsetD32Async {Prefix}0d 3212836864 1311768467463790320 {Prefix}0e", null,
            static d => (d.cuMemsetD32Async(Sent(13), 0xBF800000, Large, Sent(14)), null)),
        new("cuStreamCreate 1", Given(5), static d => (d.cuStreamCreate(out var stream, 1), stream)),
        new($"cuStreamDestroy_v2 {Prefix}0f", null, static d => (d.cuStreamDestroy(Sent(15)), null)),
        new($"cuStreamSynchronize {Prefix}10", null, static d => (d.cuStreamSynchronize(Sent(16)), null)),
        new("cuEventCreate 2", Given(6), static d => (d.cuEventCreate(out var e, 2), e)),
        new($"cuEventDestroy_v2 {Prefix}11", null, static d => (d.cuEventDestroy(Sent(17)), null)),
        new($"cuEventRecord {Prefix}12 {Prefix}13", null, static d => (d.cuEventRecord(Sent(18), Sent(19)), null)),
        new($"cuEventSynchronize {Prefix}14", null, static d => (d.cuEventSynchronize(Sent(20)), null)),
        new($"cuEventElapsedTime {Prefix}15 {Prefix}16", 1.5f, static d => (d.cuEventElapsedTime(out var t, Sent(21), Sent(22)), t)),
        new($"cuLaunchKernel {Prefix}17 1 2 3 4 5 6 7 {Prefix}18 [0x1122334455667788 0x99aabbcc] {Prefix}19", null, Launch),
        new("cublasCreate_v2", Given(7), static d => (d.cublasCreate(out var handle), handle)),
        new($"cublasDestroy_v2 {Prefix}1a", null, static d => (d.cublasDestroy(Sent(26)), null)),
        new($"cublasGetVersion_v2 {Prefix}1b", 120403, static d => (d.cublasGetVersion(Sent(27), out var version), version)),
        new($"cublasSetStream_v2 {Prefix}1c {Prefix}1d", null, static d => (d.cublasSetStream(Sent(28), Sent(29)), null)),
        new(
            $"cublasSetWorkspace_v2 {Prefix}1e {Prefix}1f 1311768467463790320", null,
            static d => (d.cublasSetWorkspace(Sent(30), Sent(31), Large), null)),
        new($"cublasSetMathMode {Prefix}20 3", null, static d => (d.cublasSetMathMode(Sent(32), 3), null)),
        new($"cublasSetPointerMode_v2 {Prefix}21 1", null, static d => (d.cublasSetPointerMode(Sent(33), 1), null)),
        new($"cublasSgemm_v2 {Prefix}22 1 0 11 12 13 0.100000001 {Prefix}23 14 {Prefix}24 15 -2.5 {Prefix}25 16", null, Sgemm),
    ];

    private static nuint Large => unchecked((nuint)0x123456789ABCDEF0);

    private static nint Sent(int n) => unchecked((nint)(0xE1E2E3E400000000ul + (uint)n));

    private static nint Given(int n) => unchecked((nint)(0xF1F2F3F400000000ul + (uint)n));

    private static string Utf8(byte* text) => System.Runtime.InteropServices.Marshal.PtrToStringUTF8((nint)text)!;

    private static (int, object?) DeviceName(ICudaDriver driver)
    {
        var name = stackalloc byte[64];
        return (driver.cuDeviceGetName(name, 64, 41), Utf8(name));
    }

    private static (int, object?) MemGetInfo(ICudaDriver driver) => (driver.cuMemGetInfo(out var free, out var total), (free, total));

    private static (int, object?) ModuleLoad(ICudaDriver driver)
    {
        var log = stackalloc byte[32];
        log[0] = (byte)'x';
        var options = stackalloc int[] { 5, 6 };
        var values = stackalloc void*[] { log, (void*)32 };
        fixed (byte* image = "PTX 6.3\0"u8)
        {
            return (driver.cuModuleLoadDataEx(out var module, image, 2, options, values), (module, Utf8(log)));
        }
    }

    private static (int, object?) ModuleGetFunction(ICudaDriver driver)
    {
        fixed (byte* name = Encoding.UTF8.GetBytes("softmax\0"))
        {
            return (driver.cuModuleGetFunction(out var function, Sent(2), name), function);
        }
    }

    private static (int, object?) CopyToDevice(ICudaDriver driver)
    {
        var source = stackalloc byte[] { 0x01, 0xFE, 0x7F, 0x55 };
        return (driver.cuMemcpyHtoDAsync(Sent(6), source, 3, Sent(7)), null);
    }

    private static (int, object?) CopyToHost(ICudaDriver driver)
    {
        var target = stackalloc byte[3];
        return (driver.cuMemcpyDtoHAsync(target, Sent(8), 2, Sent(9)), BitConverter.ToString(new Span<byte>(target, 3).ToArray()));
    }

    private static (int, object?) Launch(ICudaDriver driver)
    {
        var (first, second) = (0x1122334455667788ul, 0x99AABBCCu);
        var parameters = stackalloc void*[] { &first, &second };
        return (driver.cuLaunchKernel(Sent(23), 1, 2, 3, 4, 5, 6, 7, Sent(24), parameters, (void**)Sent(25)), null);
    }

    private static (int, object?) Sgemm(ICudaDriver driver)
    {
        var (alpha, beta) = (0.1f, -2.5f);
        return (driver.cublasSgemm(Sent(34), 1, 0, 11, 12, 13, &alpha, Sent(35), 14, Sent(36), 15, &beta, Sent(37), 16), null);
    }
}
