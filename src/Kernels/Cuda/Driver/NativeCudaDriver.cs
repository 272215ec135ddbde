namespace TinyDpo.Kernels;

/// <summary>
/// NVIDIA's own libraries behind <see cref="ICudaDriver"/>. The driver's library is opened when the first of these is made, cuBLAS at the
/// first cublasCreate. Holds nothing, so disposing it does nothing.
/// </summary>
public sealed unsafe class NativeCudaDriver : ICudaDriver
{
    /// <exception cref="CudaException">There is no CUDA driver here, or it lacks a call: the message names what was looked for.</exception>
    public NativeCudaDriver() => NativeLibraries.RequireCuda();

    public string Name => "cuda";

    public void Dispose()
    {
    }

    public int cuInit(uint flags) => NativeCuda.cuInit(flags);

    public int cuDriverGetVersion(out int version) => NativeCuda.cuDriverGetVersion(out version);

    public int cuGetErrorName(int error, out byte* name) => NativeCuda.cuGetErrorName(error, out name);

    public int cuGetErrorString(int error, out byte* text) => NativeCuda.cuGetErrorString(error, out text);

    public int cuDeviceGetCount(out int count) => NativeCuda.cuDeviceGetCount(out count);

    public int cuDeviceGet(out int device, int ordinal) => NativeCuda.cuDeviceGet(out device, ordinal);

    public int cuDeviceGetName(byte* name, int length, int device) => NativeCuda.cuDeviceGetName(name, length, device);

    public int cuDeviceGetAttribute(out int value, int attribute, int device) =>
        NativeCuda.cuDeviceGetAttribute(out value, attribute, device);

    public int cuDeviceTotalMem(out nuint bytes, int device) => NativeCuda.cuDeviceTotalMem(out bytes, device);

    public int cuDevicePrimaryCtxRetain(out nint context, int device) => NativeCuda.cuDevicePrimaryCtxRetain(out context, device);

    public int cuDevicePrimaryCtxRelease(int device) => NativeCuda.cuDevicePrimaryCtxRelease(device);

    public int cuCtxSetCurrent(nint context) => NativeCuda.cuCtxSetCurrent(context);

    public int cuMemGetInfo(out nuint free, out nuint total) => NativeCuda.cuMemGetInfo(out free, out total);

    public int cuModuleLoadDataEx(out nint module, byte* image, uint optionCount, int* options, void** optionValues) =>
        NativeCuda.cuModuleLoadDataEx(out module, image, optionCount, options, optionValues);

    public int cuModuleUnload(nint module) => NativeCuda.cuModuleUnload(module);

    public int cuModuleGetFunction(out nint function, nint module, byte* name) =>
        NativeCuda.cuModuleGetFunction(out function, module, name);

    public int cuFuncSetAttribute(nint function, int attribute, int value) => NativeCuda.cuFuncSetAttribute(function, attribute, value);

    public int cuMemAlloc(out nint address, nuint bytes) => NativeCuda.cuMemAlloc(out address, bytes);

    public int cuMemFree(nint address) => NativeCuda.cuMemFree(address);

    public int cuMemAllocHost(out nint host, nuint bytes) => NativeCuda.cuMemAllocHost(out host, bytes);

    public int cuMemFreeHost(nint host) => NativeCuda.cuMemFreeHost(host);

    public int cuMemcpyHtoDAsync(nint destination, void* source, nuint bytes, nint stream) =>
        NativeCuda.cuMemcpyHtoDAsync(destination, source, bytes, stream);

    public int cuMemcpyDtoHAsync(void* destination, nint source, nuint bytes, nint stream) =>
        NativeCuda.cuMemcpyDtoHAsync(destination, source, bytes, stream);

    public int cuMemcpyDtoDAsync(nint destination, nint source, nuint bytes, nint stream) =>
        NativeCuda.cuMemcpyDtoDAsync(destination, source, bytes, stream);

    public int cuMemsetD32Async(nint destination, uint value, nuint count, nint stream) =>
        NativeCuda.cuMemsetD32Async(destination, value, count, stream);

    public int cuStreamCreate(out nint stream, uint flags) => NativeCuda.cuStreamCreate(out stream, flags);

    public int cuStreamDestroy(nint stream) => NativeCuda.cuStreamDestroy(stream);

    public int cuStreamSynchronize(nint stream) => NativeCuda.cuStreamSynchronize(stream);

    public int cuEventCreate(out nint @event, uint flags) => NativeCuda.cuEventCreate(out @event, flags);

    public int cuEventDestroy(nint @event) => NativeCuda.cuEventDestroy(@event);

    public int cuEventRecord(nint @event, nint stream) => NativeCuda.cuEventRecord(@event, stream);

    public int cuEventSynchronize(nint @event) => NativeCuda.cuEventSynchronize(@event);

    public int cuEventElapsedTime(out float milliseconds, nint start, nint end) =>
        NativeCuda.cuEventElapsedTime(out milliseconds, start, end);

    public int cuLaunchKernel(
        nint function, uint gridX, uint gridY, uint gridZ, uint blockX, uint blockY, uint blockZ, uint sharedBytes, nint stream,
        void** parameters, void** extra) =>
        NativeCuda.cuLaunchKernel(function, gridX, gridY, gridZ, blockX, blockY, blockZ, sharedBytes, stream, parameters, extra);

    public int cublasCreate(out nint handle)
    {
        NativeLibraries.RequireCublas();
        return NativeCublas.cublasCreate(out handle);
    }

    public int cublasDestroy(nint handle) => NativeCublas.cublasDestroy(handle);

    public int cublasGetVersion(nint handle, out int version) => NativeCublas.cublasGetVersion(handle, out version);

    public int cublasSetStream(nint handle, nint stream) => NativeCublas.cublasSetStream(handle, stream);

    public int cublasSetWorkspace(nint handle, nint workspace, nuint bytes) => NativeCublas.cublasSetWorkspace(handle, workspace, bytes);

    public int cublasSetMathMode(nint handle, int mode) => NativeCublas.cublasSetMathMode(handle, mode);

    public int cublasSetPointerMode(nint handle, int mode) => NativeCublas.cublasSetPointerMode(handle, mode);

    public int cublasSgemm(
        nint handle, int transA, int transB, int m, int n, int k, float* alpha, nint a, int lda, nint b, int ldb, float* beta, nint c,
        int ldc) =>
        NativeCublas.cublasSgemm(handle, transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
