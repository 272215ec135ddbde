using BenchmarkDotNet.Attributes;
using TinyDpo.Kernels;

namespace TinyDpo.Bench;

/// <summary>Matrix products of the three workloads, ours and, where libopenblas.so.0 is installed, OpenBLAS's side by side.</summary>
public class GemmBenchmarks : KernelBenchmarks
{
    private const string Ours = "TinyDpo", Rival = "OpenBLAS";

    [ParamsSource(nameof(Libraries))]
    public string Library { get; set; } = null!;

    public static IEnumerable<string> Libraries() => OpenBlas.IsPresent ? [Ours, Rival] : [Ours];

    public override IEnumerable<KernelSpec> Specs() => KernelCases.Gemms();

    protected override void Prepared(KernelCase made)
    {
        if (Library == Rival)
        {
            OpenBlas.Serve(made, (ProductSpec)Kernel, Threads);
        }
    }

    protected override IEnumerable<(string Name, object Value)> Parameters() => [.. base.Parameters(), (nameof(Library), Library)];
}
