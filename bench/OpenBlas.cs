using System.Runtime.InteropServices;

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
    public static void Gemm(bool transA, bool transB, int m, int n, int k, Real* a, Real* b, Real* c) =>
        Sgemm(RowMajor, transA ? Transpose : NoTranspose, transB ? Transpose : NoTranspose, m, n, k, 1, (float*)a, transA ? m : k, (float*)b,
            transB ? k : n, 0, (float*)c, n);

    [LibraryImport(Library, EntryPoint = "cblas_sgemm")]
    private static partial void Sgemm(
        int order, int transA, int transB, int m, int n, int k, float alpha, float* a, int lda, float* b, int ldb, float beta, float* c, int ldc);
}
