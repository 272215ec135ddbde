namespace TinyDpo.Kernels;

public sealed unsafe partial class CudaBackend
{
    private const int Tf32Math = 3;
    private const int WorkspaceBytes = 4 * 1024 * 1024;

    private nint _blas;
    private nint _workspace;

    // cublasSetStream goes back to cuBLAS's own workspace, so ours is set after it.
    private void CreateBlas(CudaOptions options)
    {
        Check(_driver.cublasCreate(out var blas), nameof(_driver.cublasCreate));
        _blas = blas;
        Check(_driver.cublasSetStream(_blas, _stream), nameof(_driver.cublasSetStream));
        _workspace = Allocate(WorkspaceBytes);
        Check(_driver.cublasSetWorkspace(_blas, _workspace, WorkspaceBytes), nameof(_driver.cublasSetWorkspace));
        if (options.Tf32)
        {
            Check(_driver.cublasSetMathMode(_blas, Tf32Math), nameof(_driver.cublasSetMathMode));
        }
    }

    private void DisposeBlas()
    {
        if (_blas != 0)
        {
            _ = _driver.cublasDestroy(_blas);
        }
        if (_workspace != 0)
        {
            _ = _driver.cuMemFree(_workspace);
        }
    }

    /// <summary>Keeps nothing: cuBLAS reads a matrix where it lies.</summary>
    public void KeepPacked(DeviceBuffer b, int n, int k)
    {
    }

    // cuBLAS is column-major, where our row-major C [m, n] is C^T [n, m] = op(b)^T op(a)^T: the operands change places, each keeps its flag.
    public void Gemm(
        bool transA, bool transB, int m, int n, int k, Real alpha, DeviceBuffer a, DeviceBuffer b, bool accumulate, DeviceBuffer c,
        DeviceBuffer? addend)
    {
        RequireLength(a, (long)m * k);
        RequireLength(b, (long)k * n);
        RequireLength(c, (long)m * n);
        DeviceMemory.RequireAddend(addend, c, m, n, accumulate);
        if (addend is not null)
        {
            Copy(addend.Slice(0, m * n), c.Slice(0, m * n));
            accumulate = true;
        }
        if (m == 0 || n == 0)
        {
            return;
        }
        if (k == 0)
        {
            if (!accumulate)
            {
                Fill(c.Slice(0, m * n), 0);
            }
            return;
        }
        BindThread();
        Real beta = accumulate ? 1 : 0;
        Check(
            _driver.cublasSgemm(
                _blas, transB ? 1 : 0, transA ? 1 : 0, n, m, k, &alpha, b.Address, transB ? k : n, a.Address, transA ? m : k, &beta, c.Address, n),
            nameof(_driver.cublasSgemm));
    }
}
