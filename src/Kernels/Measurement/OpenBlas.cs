using System.Runtime.InteropServices;

namespace TinyDpo.Kernels;

/// <summary>The rival of our matrix products, where it is installed (Debian: libopenblas0-pthread). Nothing but measurements uses it.</summary>
public static unsafe partial class OpenBlas
{
    private const string Library = "libopenblas.so.0";
    private const int RowMajor = 101, NoTranspose = 111, Transpose = 112;

    /// <summary>Whether it is installed. It computes in float: a double build has no rival.</summary>
    public static bool IsPresent { get; } = sizeof(Real) == sizeof(float) && NativeLibrary.TryLoad(Library, out _);

    /// <summary>Its version, how it was built, and the processor whose kernels it chose (the variable OPENBLAS_CORETYPE has a say).</summary>
    public static string Description => Marshal.PtrToStringAnsi(GetConfig()) ?? "";

    /// <summary>From now on the case's product is computed by OpenBLAS, with so many threads.</summary>
    public static void Serve(KernelCase made, ProductSpec product, int threads)
    {
        SetThreads(threads);
        made.Replace(x => Gemm(product, x[0], x[1], x[2]));
    }

    // C [m, n] = op(A) op(B), row-major and dense.
    private static void Gemm(ProductSpec p, DeviceBuffer a, DeviceBuffer b, DeviceBuffer c) => Sgemm(
        RowMajor, p.TransA ? Transpose : NoTranspose, p.TransB ? Transpose : NoTranspose, p.M, p.N, p.K, 1, (float*)a.Address, p.TransA ? p.M : p.K, (float*)b.Address,
        p.TransB ? p.K : p.N, 0, (float*)c.Address, p.N);

    [LibraryImport(Library, EntryPoint = "openblas_set_num_threads")]
    private static partial void SetThreads(int threads);

    [LibraryImport(Library, EntryPoint = "openblas_get_config")]
    private static partial nint GetConfig();

    [LibraryImport(Library, EntryPoint = "cblas_sgemm")]
    private static partial void Sgemm(
        int order, int transA, int transB, int m, int n, int k, float alpha, float* a, int lda, float* b, int ldb, float beta, float* c, int ldc);
}
