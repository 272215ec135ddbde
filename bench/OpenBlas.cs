using System.Runtime.InteropServices;
using TinyDpo.Kernels;

namespace TinyDpo.Bench;

/// <summary>The rival, where it is installed (Debian: libopenblas0-pthread).</summary>
internal static unsafe partial class OpenBlas
{
    private const string Library = "libopenblas.so.0";
    private const int RowMajor = 101, NoTranspose = 111, Transpose = 112;

    public static bool IsPresent { get; } = sizeof(Real) == sizeof(float) && NativeLibrary.TryLoad(Library, out _);

    [LibraryImport(Library, EntryPoint = "openblas_set_num_threads")]
    public static partial void SetThreads(int threads);

    /// <summary>C [m, n] = op(A) op(B), row-major and dense.</summary>
    public static void Gemm(ProductSpec p, Real* a, Real* b, Real* c) => Sgemm(
        RowMajor, p.TransA ? Transpose : NoTranspose, p.TransB ? Transpose : NoTranspose, p.M, p.N, p.K, 1, (float*)a, p.TransA ? p.M : p.K, (float*)b,
        p.TransB ? p.K : p.N, 0, (float*)c, p.N);

    [LibraryImport(Library, EntryPoint = "cblas_sgemm")]
    private static partial void Sgemm(
        int order, int transA, int transB, int m, int n, int k, float alpha, float* a, int lda, float* b, int ldb, float beta, float* c, int ldc);
}
