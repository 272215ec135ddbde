namespace TinyDpo.Kernels;

/// <summary>
/// The calls of the CUDA driver API and of cuBLAS that the engine uses, under their CUDA names and with their CUDA meaning. Two things
/// implement it: <see cref="NativeCudaDriver"/> calls NVIDIA's libraries, the simulator executes the PTX itself. Driver calls return a
/// CUresult, cuBLAS calls a cublasStatus_t; 0 is success. Handles and device addresses are nint, names UTF-8.
/// </summary>
public unsafe interface ICudaDriver : IDisposable
{
    /// <summary>The name that --device takes: cuda or sim.</summary>
    string Name { get; }

    int cuInit(uint flags);

    int cuDriverGetVersion(out int version);

    int cuGetErrorName(int error, out byte* name);

    int cuGetErrorString(int error, out byte* text);

    int cuDeviceGetCount(out int count);

    int cuDeviceGet(out int device, int ordinal);

    int cuDeviceGetName(byte* name, int length, int device);

    int cuDeviceGetAttribute(out int value, int attribute, int device);

    int cuDeviceTotalMem(out nuint bytes, int device);

    int cuDevicePrimaryCtxRetain(out nint context, int device);

    int cuDevicePrimaryCtxRelease(int device);

    int cuCtxSetCurrent(nint context);

    int cuMemGetInfo(out nuint free, out nuint total);

    int cuModuleLoadDataEx(out nint module, byte* image, uint optionCount, int* options, void** optionValues);

    int cuModuleUnload(nint module);

    int cuModuleGetFunction(out nint function, nint module, byte* name);

    int cuFuncSetAttribute(nint function, int attribute, int value);

    int cuMemAlloc(out nint address, nuint bytes);

    int cuMemFree(nint address);

    /// <summary>Page-locked host memory: the only kind that an asynchronous copy may use.</summary>
    int cuMemAllocHost(out nint host, nuint bytes);

    int cuMemFreeHost(nint host);

    int cuMemcpyHtoDAsync(nint destination, void* source, nuint bytes, nint stream);

    int cuMemcpyDtoHAsync(void* destination, nint source, nuint bytes, nint stream);

    int cuMemcpyDtoDAsync(nint destination, nint source, nuint bytes, nint stream);

    int cuMemsetD32Async(nint destination, uint value, nuint count, nint stream);

    int cuStreamCreate(out nint stream, uint flags);

    int cuStreamDestroy(nint stream);

    int cuStreamSynchronize(nint stream);

    int cuEventCreate(out nint @event, uint flags);

    int cuEventDestroy(nint @event);

    int cuEventRecord(nint @event, nint stream);

    int cuEventSynchronize(nint @event);

    int cuEventElapsedTime(out float milliseconds, nint start, nint end);

    int cuLaunchKernel(
        nint function, uint gridX, uint gridY, uint gridZ, uint blockX, uint blockY, uint blockZ, uint sharedBytes, nint stream, void** parameters,
        void** extra);

    int cublasCreate(out nint handle);

    int cublasDestroy(nint handle);

    int cublasGetVersion(nint handle, out int version);

    int cublasSetStream(nint handle, nint stream);

    int cublasSetWorkspace(nint handle, nint workspace, nuint bytes);

    int cublasSetMathMode(nint handle, int mode);

    int cublasSetPointerMode(nint handle, int mode);

    /// <summary>Column-major C [m, n] = alpha op(A) op(B) + beta C; op is N (0) or T (1); with beta 0 C is not read.</summary>
    int cublasSgemm(
        nint handle, int transA, int transB, int m, int n, int k, float* alpha, nint a, int lda, nint b, int ldb, float* beta, nint c, int ldc);
}
