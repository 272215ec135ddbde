using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

/// <summary>What a training step leaves to the garbage collector.</summary>
public class StepAllocationTests
{
    private const int Most = 64 * 1024;

    [TestCase(4, 8)]
    [TestCase(8, 150)]
    public void AStepAllocatesLittleWhateverItsTokens(int count, int longest)
    {
        using var backend = new CpuBackend(1);
        var policy = TinyModels.Create(backend, TinyModels.Config() with { Layers = 4, MaxPositions = 512 });
        var pairs = TinyModels.Pairs(count, longest: longest);
        var task = new DpoTask(policy, pairs, ReferenceLogProbs.Compute(policy, pairs), new DpoLoss());
        var optimiser = new AdamW(policy.Weights);
        int[] batch = [.. Enumerable.Range(0, count)];
        for (var step = 0; step < 3; step++)
        {
            Step();
        }
        var before = GC.GetAllocatedBytesForCurrentThread();
        Step();
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThanOrEqualTo(Most));

        void Step()
        {
            policy.Weights.ClearGradients();
            task.Accumulate(batch);
            optimiser.Step(1e-4);
        }
    }
}
