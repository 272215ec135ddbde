using BenchmarkDotNet.Attributes;
using TinyDpo.Kernels;

namespace TinyDpo.Bench;

/// <summary>The sizes of a product, op(A) [M, K] times op(B) [K, N].</summary>
public sealed record Product(bool TransA, bool TransB, int M, int N, int K)
{
    public override string ToString() => $"{(TransA ? 'T' : 'N')}{(TransB ? 'T' : 'N')} {M}x{N}x{K}";
}

/// <summary>Matrix products of the three workloads, ours and, where libopenblas.so.0 is installed, OpenBLAS's side by side.</summary>
public unsafe class GemmBenchmarks
{
    private CpuBackend? _backend;
    private MemoryScope? _scope;
    private DeviceBuffer? _a, _b, _c;
    private double _limit;

    [ParamsSource(nameof(Products))]
    public Product Product { get; set; } = null!;

    [ParamsSource(nameof(Libraries))]
    public string Library { get; set; } = null!;

    [Params(1, 2)]
    public int Threads { get; set; }

    public static IEnumerable<Product> Products() => KernelCases.Products().Select(static p => new Product(p.TransA, p.TransB, p.M, p.N, p.K));

    public static IEnumerable<string> Libraries() => OpenBlas.IsPresent ? ["TinyDpo", "OpenBLAS"] : ["TinyDpo"];

    [GlobalSetup]
    public void Prepare()
    {
        _backend = new CpuBackend(Threads);
        _scope = new MemoryScope(_backend);
        _a = Numbers(0, Product.M * Product.K);
        _b = Numbers(1, Product.K * Product.N);
        _c = Numbers(2, Product.M * Product.N);
        _limit = _backend.MeasurePeak();
        if (Library == "OpenBLAS")
        {
            OpenBlas.SetThreads(Threads);
        }
    }

    [Benchmark]
    public void Gemm()
    {
        var (transA, transB, m, n, k) = (Product.TransA, Product.TransB, Product.M, Product.N, Product.K);
        if (Library == "OpenBLAS")
        {
            OpenBlas.Gemm(transA, transB, m, n, k, (Real*)_a!.Address, (Real*)_b!.Address, (Real*)_c!.Address);
        }
        else
        {
            _backend!.Gemm(transA, transB, m, n, k, 1, _a!, _b!, false, _c!);
        }
    }

    [GlobalCleanup]
    public void Finish()
    {
        Gemm();
        Measurements.Add(
            Measurements.Name(nameof(Gemm), (nameof(Product), Product), (nameof(Library), Library), (nameof(Threads), Threads)),
            new Measurement(2.0 * Product.M * Product.N * Product.K, "GFLOP/s", Math.Max(_limit, _backend!.MeasurePeak()), Error()));
        _scope!.Dispose();
        _backend.Dispose();
    }

    private DeviceBuffer Numbers(int stream, int count)
    {
        var buffer = _backend!.Memory.Rent(count);
        _backend.Upload([.. Enumerable.Range(0, count).Select(i => (Real)((2 * Philox.Uniform(0, RandomPurpose.Test, 0, stream, i)) - 1))], buffer);
        return buffer;
    }

    /// <summary>Of the first and the last row.</summary>
    private double Error()
    {
        var (m, n, k) = (Product.M, Product.N, Product.K);
        Real* a = (Real*)_a!.Address, b = (Real*)_b!.Address, c = (Real*)_c!.Address;
        double difference = 0, largest = 0;
        foreach (var i in new[] { 0, m - 1 })
        {
            for (var j = 0; j < n; j++)
            {
                double sum = 0;
                for (var p = 0; p < k; p++)
                {
                    sum += (double)a[Product.TransA ? (p * m) + i : (i * k) + p] * b[Product.TransB ? (j * k) + p : (p * n) + j];
                }
                difference = Math.Max(difference, Math.Abs(sum - c[(i * n) + j]));
                largest = Math.Max(largest, Math.Abs(sum));
            }
        }
        return difference / largest;
    }
}
