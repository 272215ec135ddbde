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
        Prepared(_case);
        _limit = _case.MeasureLimit();
    }

    [Benchmark]
    public void Call() => _case!.Run();

    [GlobalCleanup]
    public void Finish()
    {
        Measurements.Add(
            Measurements.Name(nameof(Call), Parameters()),
            new Measurement(_case!.Work, _case.Streams ? "GB/s" : "GFLOP/s", Math.Max(_limit, _case.MeasureLimit()), _case.Error()));
        _case.Dispose();
        _scope!.Dispose();
        _backend!.Dispose();
    }

    /// <summary>Called before the timing.</summary>
    protected virtual void Prepared(KernelCase made)
    {
    }

    /// <summary>What tells this benchmark from the class's others.</summary>
    protected virtual IEnumerable<(string Name, object Value)> Parameters() => [(nameof(Kernel), Kernel), (nameof(Threads), Threads)];
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
