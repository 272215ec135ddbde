using BenchmarkDotNet.Running;
using TinyDpo.Bench;

// As BenchmarkDotNet's users expect: --filter '*Gemm*', --list flat, --job short.
var summaries = BenchmarkSwitcher.FromAssembly(typeof(BenchConfig).Assembly).Run(args, new BenchConfig()).ToList();
var unbelievable = Measurements.BeyondTheLimit();
foreach (var name in unbelievable)
{
    Console.Error.WriteLine($"{name} beat the limit of this machine: measure again on a quiet machine");
}
return unbelievable.Count > 0 || summaries.Any(static s => s.HasCriticalValidationErrors) ? 1 : 0;
