using TinyDpo.Dpo;
using TinyDpo.Kernels;

namespace TinyDpo.Tests;

/// <summary>A step on a backend that counts and times its calls.</summary>
public class MeasuredStepTests
{
    /// <summary>
    /// Two counts of the same thing: by the kernels that ran, and by the formula from the shapes alone. The formula leaves out the last
    /// layer's query projection of tokens that predict nothing, counts their attention, which does not run, and counts the row that predicts both
    /// completions' first tokens once.
    /// </summary>
    [Test]
    public void TheProductsThatRunAreThoseThatTheFormulaCounts()
    {
        using var backend = new CpuBackend(1);
        using var measured = new MeasuredBackend(backend);
        var config = TinyModels.Config();
        var policy = TinyModels.Create(measured, config);
        var pairs = TinyModels.Pairs(6);
        var task = new DpoTask(policy, pairs, ReferenceLogProbs.Compute(policy, pairs), new DpoLoss());
        measured.Clear();
        task.Accumulate([.. Enumerable.Range(0, pairs.Length)]);

        long queries = config.Heads * config.HeadSize, silent = pairs.Sum(static p => (long)p.Prompt.Length - 1);
        var products = measured.Costs.Where(static c => c.Kernel.StartsWith("Gemm", StringComparison.Ordinal) || c.Kernel.StartsWith("SegmentAttention", StringComparison.Ordinal));
        var unneeded = 6 * config.HiddenSize * ((queries * silent) + (config.VocabSize * pairs.Length));
        var silentPairs = pairs.Sum(p => config.Attention(config.Layers - 1).VisibleKeys(0, p.Prompt.Length - 1));
        Assert.That(products.Sum(static c => c.Flops), Is.EqualTo(StepFlops.Needed(config, pairs) + unneeded - (12 * queries * silentPairs)));
        Assert.That(measured.Costs, Has.All.Matches<KernelCost>(static c => c!.Calls > 0 && c.Seconds >= 0 && c.Bytes >= 0));
    }

    [Test]
    public void MeasuringChangesNoBit()
    {
        using var backend = new CpuBackend(1);
        using var measured = new MeasuredBackend(backend);
        Assert.That(Gradients(measured), Is.EqualTo(Gradients(backend)));

        static Dictionary<string, Real[]> Gradients(IBackend on)
        {
            var policy = TinyModels.Create(on);
            var pairs = TinyModels.Pairs(4);
            new DpoTask(policy, pairs, ReferenceLogProbs.Compute(policy, pairs), new DpoLoss()).Accumulate([0, 1, 2, 3]);
            return TinyModels.Gradients(policy);
        }
    }
}
