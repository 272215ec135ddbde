using System.Runtime.InteropServices;

namespace TinyDpo.Kernels;

/// <summary>
/// The entry points of cuBLAS, as cublas_v2.h declares them: _v2 where that header's name stands for a newer version of the call.
/// Device pointers are nint. <see cref="NativeLibraries"/> finds the library.
/// </summary>
internal static unsafe partial class NativeCublas
{
    internal const string Library = "cublas";

    [LibraryImport(Library, EntryPoint = "cublasCreate_v2")]
    internal static partial int cublasCreate(out nint handle);

    [LibraryImport(Library, EntryPoint = "cublasDestroy_v2")]
    internal static partial int cublasDestroy(nint handle);

    [LibraryImport(Library, EntryPoint = "cublasGetVersion_v2")]
    internal static partial int cublasGetVersion(nint handle, out int version);

    [LibraryImport(Library, EntryPoint = "cublasSetStream_v2")]
    internal static partial int cublasSetStream(nint handle, nint stream);

    [LibraryImport(Library, EntryPoint = "cublasSetWorkspace_v2")]
    internal static partial int cublasSetWorkspace(nint handle, nint workspace, nuint bytes);

    [LibraryImport(Library)]
    internal static partial int cublasSetMathMode(nint handle, int mode);

    [LibraryImport(Library, EntryPoint = "cublasSetPointerMode_v2")]
    internal static partial int cublasSetPointerMode(nint handle, int mode);

    [LibraryImport(Library, EntryPoint = "cublasSgemm_v2")]
    internal static partial int cublasSgemm(
        nint handle, int transA, int transB, int m, int n, int k, float* alpha, nint a, int lda, nint b, int ldb, float* beta, nint c,
        int ldc);
}
