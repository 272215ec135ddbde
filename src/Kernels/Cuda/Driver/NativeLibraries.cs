using System.Runtime.InteropServices;

namespace TinyDpo.Kernels;

/// <summary>Finds NVIDIA's libraries for <see cref="NativeCuda"/> and <see cref="NativeCublas"/>, each when it is first needed.</summary>
internal static class NativeLibraries
{
    /// <summary>The driver comes with the card: under WSL and on Windows too.</summary>
    public static readonly NativeLibraryFile Cuda = new(
        "the CUDA driver", "TINYDPO_CUDA_LIBRARY",
        OperatingSystem.IsWindows() ? ["nvcuda.dll"] : ["libcuda.so.1", "libcuda.so"],
        typeof(NativeCuda), "install NVIDIA's driver");

    public static readonly NativeLibraryFile Cublas = new(
        "cuBLAS", "TINYDPO_CUBLAS_LIBRARY",
        OperatingSystem.IsWindows()
            ? ["cublas64_13.dll", "cublas64_12.dll", "cublas64_11.dll"]
            : ["libcublas.so.13", "libcublas.so.12", "libcublas.so.11", "/usr/local/cuda/lib64/libcublas.so"],
        typeof(NativeCublas), "install cuBLAS 11 or later, which is part of the CUDA toolkit");

    static NativeLibraries() => NativeLibrary.SetDllImportResolver(typeof(NativeLibraries).Assembly, static (name, _, _) => name switch
    {
        NativeCuda.Library => Cuda.Handle,
        NativeCublas.Library => Cublas.Handle,
        _ => 0,
    });

    /// <exception cref="CudaException">There is no driver, or it lacks a call.</exception>
    public static void RequireCuda() => Cuda.Require();

    /// <exception cref="CudaException">There is no cuBLAS, or it lacks a call.</exception>
    public static void RequireCublas() => Cublas.Require();
}
