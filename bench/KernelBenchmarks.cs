using BenchmarkDotNet.Attributes;
using TinyDpo.Kernels;

namespace TinyDpo.Bench;

/// <summary>A family of kernels: its cases with one thread and with two.</summary>
public abstract class KernelBenchmarks
{
    private CpuBackend? _backend;
    private MemoryScope? _scope;
    private KernelCase? _case;
    private double _limit;

    [ParamsSource(nameof(Specs))]
    public KernelSpec Kernel { get; set; } = null!;

    [Params(1, 2)]
    public int Threads { get; set; }

    public abstract IEnumerable<KernelSpec> Specs();

    [GlobalSetup]
    public void Prepare()
    {
        _backend = new CpuBackend(Threads);
        _scope = new MemoryScope(_backend);
        _case = Kernel.Create(_backend);
        _limit = Limit();
    }

    [Benchmark]
    public void TinyDpo() => _case!.Run();

    [GlobalCleanup]
    public void Finish()
    {
        Measurements.Add(
            Measurements.Name(nameof(TinyDpo), (nameof(Kernel), Kernel), (nameof(Threads), Threads)),
            new Measurement(_case!.Work, _case.Streams ? "GB/s" : "GFLOP/s", Math.Max(_limit, Limit()), _case.Error()));
        _case.Dispose();
        _scope!.Dispose();
        _backend!.Dispose();
    }

    private double Limit() => _case!.Streams ? _backend!.MeasureBandwidth() : _backend!.MeasurePeak();
}

public class AttentionBenchmarks : KernelBenchmarks
{
    public override IEnumerable<KernelSpec> Specs() => KernelCases.Attention();
}

public class LogProbBenchmarks : KernelBenchmarks
{
    public override IEnumerable<KernelSpec> Specs() => KernelCases.LogProbs();
}

public class NormBenchmarks : KernelBenchmarks
{
    public override IEnumerable<KernelSpec> Specs() => KernelCases.Norms();
}

public class SwiGluBenchmarks : KernelBenchmarks
{
    public override IEnumerable<KernelSpec> Specs() => KernelCases.Elementwise();
}

public class AdamWBenchmarks : KernelBenchmarks
{
    public override IEnumerable<KernelSpec> Specs() => KernelCases.Optimisers();
}
