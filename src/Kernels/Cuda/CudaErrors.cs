using System.Runtime.InteropServices;

namespace TinyDpo.Kernels;

/// <summary>From a result code to a message with CUDA's name for it, the call, the kernel and a remedy.</summary>
internal static unsafe class CudaErrors
{
    public static CudaException Exception(ICudaDriver driver, int result, string call, string? kernel = null, string? log = null)
    {
        var name = call.StartsWith("cublas", StringComparison.Ordinal) ? BlasName(result) : DriverName(driver, result);
        var where = kernel is null ? call : $"{call} of kernel {kernel}";
        log ??= (driver as ILaunchObserver)?.WhyRefused;
        var detail = string.IsNullOrWhiteSpace(log) ? "" : $" ({log.Trim()})";
        return new CudaException($"{where} failed with {name}{detail}; {Remedy(name)}");
    }

    private static string DriverName(ICudaDriver driver, int result) =>
        driver.cuGetErrorName(result, out var name) == 0 && name is not null ? Marshal.PtrToStringUTF8((nint)name)! : $"CUDA error {result}";

    private static string BlasName(int status) => status switch
    {
        1 => "CUBLAS_STATUS_NOT_INITIALIZED",
        3 => "CUBLAS_STATUS_ALLOC_FAILED",
        7 => "CUBLAS_STATUS_INVALID_VALUE",
        8 => "CUBLAS_STATUS_ARCH_MISMATCH",
        11 => "CUBLAS_STATUS_MAPPING_ERROR",
        13 => "CUBLAS_STATUS_EXECUTION_FAILED",
        14 => "CUBLAS_STATUS_INTERNAL_ERROR",
        15 => "CUBLAS_STATUS_NOT_SUPPORTED",
        16 => "CUBLAS_STATUS_LICENSE_ERROR",
        _ => $"cuBLAS status {status}",
    };

    private static string Remedy(string name) => name switch
    {
        "CUDA_ERROR_OUT_OF_MEMORY" or "CUBLAS_STATUS_ALLOC_FAILED" => "give smaller batches (--token-budget), or free memory on the card",
        "CUDA_ERROR_NO_DEVICE" or "CUDA_ERROR_INVALID_DEVICE" => "no such card: see `tinydpo devices`, or use --device cpu",
        "CUDA_ERROR_UNSUPPORTED_PTX_VERSION" or "CUDA_ERROR_INVALID_PTX" => "the driver is too old for the kernels: install a newer NVIDIA driver",
        "CUDA_ERROR_JIT_COMPILER_NOT_FOUND" => "install all of NVIDIA's driver: its PTX compiler (libnvidia-ptxjitcompiler) is missing",
        "CUDA_ERROR_NO_BINARY_FOR_GPU" => "the card is too old: compute capability 7.0 is needed",
        "CUDA_ERROR_ILLEGAL_ADDRESS" or "CUDA_ERROR_MISALIGNED_ADDRESS" or "CUDA_ERROR_LAUNCH_FAILED" =>
            "a kernel is at fault, this one or an earlier one: repeat with --device sim, which names its line, and report it",
        _ => "see `tinydpo devices`, or use --device cpu",
    };
}
