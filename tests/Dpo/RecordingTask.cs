using TinyDpo.Dpo;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>SFT on random examples that notes what it was asked for, and can be spoilt.</summary>
internal sealed class RecordingTask(Transformer model, int examples) : ITrainingTask
{
    private readonly SftTask _task = new(
        model, [.. TinyModels.Pairs(examples).Select(static p => new SftExample(p.Line, p.Prompt, p.Chosen))]);

    public List<int[]> Batches { get; } = [];

    public List<Real[]> Gradients { get; } = [];

    public Func<int, double, double> Spoil { get; init; } = static (_, loss) => loss;

    public Action<Transformer, int> AfterBackward { get; init; } = static (_, _) => { };

    public int Examples => examples;

    public int Tokens(int example) => _task.Tokens(example);

    public BatchResult Accumulate(IReadOnlyList<int> batch)
    {
        var result = _task.Accumulate(batch);
        AfterBackward(model, Batches.Count);
        Gradients.Add([.. TinyModels.Gradients(model).Values.SelectMany(static g => g)]);
        var loss = Spoil(Batches.Count, result.Loss);
        Batches.Add([.. batch]);
        return result with { Metrics = [("loss", loss)] };
    }
}
