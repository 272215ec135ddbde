using TinyDpo.Kernels;

namespace TinyDpo.Simulator;

// cuBLAS: its rules, over the CPU's matrix product.
public sealed unsafe partial class SimulatedCudaDriver
{
    private const int BlasVersion = 120000;
    private const int WorkspaceAlignment = 256;
    private const int DefaultMath = 0;
    private const int PedanticMath = 2;
    private const int Tf32Math = 3;

    private readonly Dictionary<(bool, bool, int, int, int, bool), ProductCounters> _products = [];
    private int _blasMade;

    /// <summary>What the matrix products have cost so far, by shape.</summary>
    public IReadOnlyList<ProductCounters> Products => [.. _products.Values];

    public int cublasCreate(out nint handle)
    {
        handle = 0;
        if (Refusal() != 0)
        {
            return BlasStatus.NotInitialized;
        }
        handle = _handles.Add(new SimulatedBlas(++_blasMade));
        return BlasStatus.Success;
    }

    public int cublasDestroy(nint handle)
    {
        if (RefusalToRelease() != 0 || Find<SimulatedBlas>(handle, nameof(cublasDestroy)) is not { } blas)
        {
            return BlasStatus.NotInitialized;
        }
        RunEverything();
        _handles.Destroy(handle, $"cuBLAS handle {blas.Number}");
        return BlasStatus.Success;
    }

    public int cublasGetVersion(nint handle, out int version)
    {
        version = BlasVersion;
        return RefusalOfBlas(handle, nameof(cublasGetVersion), out _);
    }

    /// <summary>Also goes back to cuBLAS's own workspace, as in CUDA.</summary>
    public int cublasSetStream(nint handle, nint stream)
    {
        if (RefusalOfBlas(handle, nameof(cublasSetStream), out var blas) is var status and not 0)
        {
            return status;
        }
        if (stream != 0 && Find<SimulatedStream>(stream, nameof(cublasSetStream)) is null)
        {
            return BlasStatus.InvalidValue;
        }
        (blas!.Stream, blas.Workspace, blas.WorkspaceBytes) = (stream, 0, 0);
        return BlasStatus.Success;
    }

    public int cublasSetWorkspace(nint handle, nint workspace, nuint bytes)
    {
        if (RefusalOfBlas(handle, nameof(cublasSetWorkspace), out var blas) is var status and not 0)
        {
            return status;
        }
        if ((workspace == 0 && bytes > 0) || workspace % WorkspaceAlignment != 0)
        {
            return BlasStatus.InvalidValue;
        }
        (blas!.Workspace, blas.WorkspaceBytes) = (workspace, (long)bytes);
        return BlasStatus.Success;
    }

    public int cublasSetMathMode(nint handle, int mode)
    {
        if (RefusalOfBlas(handle, nameof(cublasSetMathMode), out var blas) is var status and not 0)
        {
            return status;
        }
        if (mode is not (DefaultMath or PedanticMath or Tf32Math))
        {
            return BlasStatus.InvalidValue;
        }
        blas!.Tf32 = mode == Tf32Math;
        return BlasStatus.Success;
    }

    public int cublasSetPointerMode(nint handle, int mode)
    {
        if (RefusalOfBlas(handle, nameof(cublasSetPointerMode), out var blas) is var status and not 0)
        {
            return status;
        }
        if (mode is not (0 or 1))
        {
            return BlasStatus.InvalidValue;
        }
        blas!.DevicePointers = mode == 1;
        return BlasStatus.Success;
    }

    public int cublasSgemm(
        nint handle, int transA, int transB, int m, int n, int k, float* alpha, nint a, int lda, nint b, int ldb, float* beta, nint c, int ldc)
    {
        if (RefusalOfBlas(handle, nameof(cublasSgemm), out var blas) is var status and not 0)
        {
            return status;
        }
        var first = new BlasMatrix("A", a, transA == 0 ? m : k, transA == 0 ? k : m, lda);
        var second = new BlasMatrix("B", b, transB == 0 ? k : n, transB == 0 ? n : k, ldb);
        var result = new BlasMatrix("C", c, m, n, ldc);
        // Operation 2 is the conjugate transpose, which for real numbers is the transpose.
        if (transA is < 0 or > 2 || transB is < 0 or > 2 || m < 0 || n < 0 || k < 0 || alpha == null || beta == null)
        {
            return BlasStatus.InvalidValue;
        }
        foreach (var matrix in (ReadOnlySpan<BlasMatrix>)[first, second, result])
        {
            if (!matrix.IsValid)
            {
                return Because(BlasStatus.InvalidValue, $"the leading dimension of {matrix.Name} is {matrix.Leading}, its columns have {matrix.Rows} rows");
            }
        }
        if (RefusalOfStream(blas!.Stream, nameof(cublasSgemm), out var queue) != 0)
        {
            return BlasStatus.NotInitialized;
        }
        if (m == 0 || n == 0)
        {
            return BlasStatus.Success;
        }
        var call = $"{Numbered(nameof(cublasSgemm))} of {m} x {n} x {k}";
        foreach (var matrix in (ReadOnlySpan<BlasMatrix>)[first, second, result])
        {
            if (matrix.Address % sizeof(float) != 0)
            {
                throw Fault($"{call}: {matrix.Name} at 0x{matrix.Address:x} is not aligned to {sizeof(float)} bytes");
            }
        }
        if (k > 0 && (first.Range(false).Overlaps(c, result.Bytes) || second.Range(false).Overlaps(c, result.Bytes)))
        {
            throw Fault($"{call}: C overlaps an input, which leaves the result to chance");
        }
        var product = new BlasProduct(call, transA != 0, transB != 0, first, second, result, k, blas.Tf32)
        {
            Workspace = blas.Workspace,
            WorkspaceBytes = blas.WorkspaceBytes,
        };
        MemoryRange[] used = [first.Range(false), second.Range(false), result.Range(true)];
        if (blas.WorkspaceBytes > 0)
        {
            used = [.. used, new MemoryRange(blas.Workspace, blas.WorkspaceBytes, Write: true)];
        }
        if (blas.DevicePointers)
        {
            var (alphaAt, betaAt) = ((nint)alpha, (nint)beta);
            Enqueue(queue, new StreamWork(call, () =>
            {
                RequireReadable(alphaAt, sizeof(float), $"{call}, alpha");
                RequireReadable(betaAt, sizeof(float), $"{call}, beta");
                Multiply(product, *(float*)alphaAt, *(float*)betaAt);
            })
            {
                Device = [.. used, new MemoryRange(alphaAt, sizeof(float), Write: false), new MemoryRange(betaAt, sizeof(float), Write: false)],
            });
            return BlasStatus.Success;
        }
        var (scale, keep) = (*alpha, *beta);
        Enqueue(queue, new StreamWork(call, () => Multiply(product, scale, keep)) { Device = used });
        return BlasStatus.Success;
    }

    private int RefusalOfBlas(nint handle, string call, out SimulatedBlas? blas)
    {
        blas = null;
        if (Refusal() is var code and not 0)
        {
            return code == CudaResult.LaunchFailed ? BlasStatus.ExecutionFailed : BlasStatus.NotInitialized;
        }
        blas = Find<SimulatedBlas>(handle, call);
        return blas is null ? BlasStatus.NotInitialized : BlasStatus.Success;
    }

    private void Multiply(BlasProduct product, float alpha, float beta)
    {
        product.Execute(_memory, _team, alpha, beta, _options.Checks);
        var (transA, transB, m, n, k) = (product.TransA, product.TransB, product.C.Rows, product.C.Columns, product.K);
        if (!_products.TryGetValue((transA, transB, m, n, k, product.Tf32), out var total))
        {
            total = new ProductCounters { TransA = transA, TransB = transB, M = m, N = n, K = k, Tf32 = product.Tf32 };
            _products.Add((transA, transB, m, n, k, product.Tf32), total);
        }
        total.Calls++;
        total.Flops += 2L * m * n * k;
        total.ReadBytes += sizeof(float) * (((long)m * k) + ((long)k * n) + (beta == 0 ? 0 : (long)m * n));
        total.WrittenBytes += sizeof(float) * (long)m * n;
    }
}
