using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>
/// Code is compiled at its first call, most of that of a training step for three tenths of a second. A run that makes its data first can have it
/// compiled on another core meanwhile, but for what only several threads call.
/// </summary>
public static class StepCompilation
{
    /// <summary>Begins to compile; nobody has to wait for it.</summary>
    public static Task Start() => Task.Run(MakeSteps);

    /// <summary>Trains a small model that nobody sees. Two layers, since the last is pruned; two steps, since the first has no memory to use again.</summary>
    private static void MakeSteps()
    {
        using var backend = new CpuBackend(threads: 1);
        var model = new Transformer(ModelConfig.Llama(vocabulary: 256, hidden: 64, layers: 2, heads: 4, intermediate: 176, positions: 128), backend);
        model.Initialise(seed: 0);
        SftExample[] examples = [.. Enumerable.Range(0, 16).Select(static i => new SftExample(i, [.. Enumerable.Range(i, 8)], [.. Enumerable.Range(2 * i, 16 + i)]))];
        new TrainingRun(model, new SftTask(model, examples), new TrainingOptions { Epochs = 2, BatchSize = 16 }).Run();
    }
}
