using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

/// <summary>The last layer without the rows that predict nothing, against the whole of it.</summary>
public class PredictingRowsTests
{
    private static double Tolerance => typeof(Real) == typeof(double) ? 1e-10 : 2e-6;

    [Test]
    public void LogProbsHaveTheBitsOfTheWholeLayer([Values(1, 2)] int threads)
    {
        using var backend = PoisonedBackend.Create(threads);
        var model = TinyModels.Create(backend);
        using var step = new StepScope(backend, gradients: false);
        var batch = PreferencePairs.Pack(backend, TinyModels.Pairs(7));

        Assert.That(model.SequenceLogProbs(batch).ToArray(), Is.EqualTo(WholeLayer(model, batch).ToArray()));
    }

    [Test]
    public void EveryGradientIsThatOfTheWholeLayer([Values] bool tied)
    {
        using var backend = PoisonedBackend.Create();
        var model = TinyModels.Create(backend, TinyModels.Config(tied));
        var actual = Gradients(model, static (m, batch) => m.SequenceLogProbs(batch));
        var expected = Gradients(model, WholeLayer);

        foreach (var (name, gradient) in expected)
        {
            Assert.That(TinyModels.RelativeDistance(actual[name], gradient), Is.LessThan(Tolerance), name);
        }
    }

    [Test]
    public void PredictorsAreTheDistinctRowsInOrder()
    {
        using var backend = PoisonedBackend.Create();
        using var step = new StepScope(backend);
        var batch = PackedBatch.Pack(backend, [new PromptGroup([1, 2, 3], [[4, 5], [6]]), new PromptGroup([7], [[8], [9, 10, 11]])]);

        // Tokens run: 1 2 3 | 4 | - | 7 | - | 9 10.
        Assert.That(Get(batch.Predictors), Is.EqualTo(new[] { 2, 3, 4, 5, 6 }));
        Assert.That(Get(batch.PredictorOf), Is.EqualTo(new[] { 0, 1, 2, 0, 2, 3, 4 }));

        int[] Get(IndexBuffer buffer)
        {
            var values = new int[buffer.Length];
            backend.Download(buffer, values);
            return values;
        }
    }

    private static Tensor WholeLayer(Transformer model, PackedBatch batch) =>
        Functions.SegmentSum(model.TokenLogProbs(batch), batch.Offsets);

    private static Dictionary<string, Real[]> Gradients(Transformer model, Func<Transformer, PackedBatch, Tensor> logProbs)
    {
        model.Weights.ClearGradients();
        using var step = new StepScope(model.Backend);
        var values = logProbs(model, PreferencePairs.Pack(model.Backend, TinyModels.Pairs(7)));
        var weights = TinyModels.Random(9, 0, values.Shape.Count);
        (values * Tensor.From(model.Backend, values.Shape, [.. weights.Select(static w => (Real)w)])).Sum().Backward();
        return TinyModels.Gradients(model);
    }
}
