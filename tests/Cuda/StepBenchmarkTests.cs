using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Simulator;

namespace TinyDpo.Tests.Cuda;

public class StepBenchmarkTests
{
    /// <summary>A card goes on after a call has returned: a step's time ends when its update is done, not when it is asked for.</summary>
    [Test]
    public void AStepEndsWhenTheDeviceHasDoneIt()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("workload.json"), TinyWorkload.Json);
        var driver = new SimulatedCudaDriver(new SimulatorOptions { Counters = true, Threads = 1 });
        using var backend = new CudaBackend(driver);
        StepBenchmark.Run(Workload.Read(folder.File("workload.json")), weights: null, steps: 1, backend, warmup: 0);
        Assert.That(driver.Counters.Where(static c => c.Kernel == "adamw").Select(static c => c.Launches), Is.EqualTo(new[] { 1L }));
    }
}
