using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>Takes the gradient of a pair's loss apart. The policy's weights are afterwards what they were; its gradients are not.</summary>
public sealed class PairExplainer
{
    private readonly Transformer _policy;
    private readonly Transformer _reference;
    private readonly IPreferenceLoss _loss;
    private readonly TrainingOptions _step;
    private readonly Func<int, string?> _text;

    /// <param name="policy">Whose weights the gradients are taken by.</param>
    /// <param name="reference">Of the same vocabulary.</param>
    /// <param name="loss">One that <see cref="Require"/> lets pass.</param>
    /// <param name="step">The optimiser of the step, its learning rate and weight decay; the rest is not heeded.</param>
    /// <param name="text">A token's text, if there is one.</param>
    /// <exception cref="LossException">The loss is not one of a pair's two log-probs.</exception>
    public PairExplainer(Transformer policy, Transformer reference, IPreferenceLoss loss, TrainingOptions step, Func<int, string?>? text = null)
    {
        Require(loss);
        (_policy, _reference, _loss, _step, _text) = (policy, reference, loss, step, text ?? (static _ => null));
    }

    /// <exception cref="LossException">The loss compares pairs, or looks at more than the sums of both completions' log-probs.</exception>
    public static void Require(IPreferenceLoss loss)
    {
        if (loss.Inputs != LossInputs.None || loss.TailWeight != 1)
        {
            throw new LossException("explain takes losses of a pair's two log-probs apart, not one that looks at other pairs, prompts or single tokens: give another --loss");
        }
    }

    /// <param name="pair">The pair.</param>
    /// <param name="tokens">Whether to take the completions' tokens apart too: a forward and a backward pass for each.</param>
    /// <exception cref="NonFiniteException">A gradient is not finite.</exception>
    public PairExplanation Explain(PreferencePair pair, bool tokens)
    {
        var before = LogProbs(_policy, pair);
        var known = LogProbs(_reference, pair);
        var score = ScoreRun.Score(_policy.Backend, _loss, before, known, PairLengths.Of([pair])).Single();
        var (chosen, rejected) = (SequenceGradient(pair, [1, 0]), SequenceGradient(pair, [0, 1]));
        // Last, for the step needs it in the model.
        var whole = SequenceGradient(pair, [(Real)score.LossByChosenLogProb, (Real)score.LossByRejectedLogProb]);
        var (step, after) = StepAndUndo(pair);
        var (chosenNorm, rejectedNorm) = (Norm(chosen), Norm(rejected));
        return new PairExplanation(
            pair.Line, score, Weight(score), chosenNorm, rejectedNorm,
            chosenNorm > 0 && rejectedNorm > 0 ? Dot(chosen, rejected) / (chosenNorm * rejectedNorm) : null,
            Norm(whole), Dot(chosen, step), Dot(rejected, step),
            (double)after.Chosen[0] - before.Chosen[0], (double)after.Rejected[0] - before.Rejected[0],
            tokens ? Tokens(pair, score, whole) : null);
    }

    // DPO's own in double, from the margin; any other loss's as its derivative says, in whatever it is wrapped.
    private double Weight(PairScore score) => _loss switch
    {
        UnweightedDpoLoss => _loss.Beta / 2,
        DpoLoss { LabelSmoothing: 0 } => WeightQuantiles.Weight(_loss.Beta, score.Margin),
        _ => -score.LossByChosenLogProb,
    };

    private static ReferenceLogProbs LogProbs(Transformer model, PreferencePair pair) => ReferenceLogProbs.Compute(model, [pair]);

    private double[] SequenceGradient(PreferencePair pair, ReadOnlySpan<Real> cotangent)
    {
        using var step = new StepScope(_policy.Backend);
        return Gradient(_policy.SequenceLogProbs(PreferencePairs.Pack(_policy.Backend, [pair])), cotangent);
    }

    private double[] Gradient(Tensor output, ReadOnlySpan<Real> cotangent)
    {
        _policy.Trained.ClearGradients();
        output.Backward(cotangent);
        _ = _policy.Trained.GradientNorm(); // completes the gradients, and finds what is not finite
        return Download(_policy.Trained.Gradients);
    }

    // One step by the gradient that the model holds: the change of the weights, and the log-probs after it.
    private (double[] Step, ReferenceLogProbs After) StepAndUndo(PreferencePair pair)
    {
        var (backend, values) = (_policy.Backend, _policy.Trained.Values);
        var before = new Real[values.Length];
        backend.Download(values, before);
        var optimiser = _step.CreateOptimiser(_policy.Trained);
        try
        {
            optimiser.Step(_step.LearningRate);
            return ([.. Download(values).Zip(before, static (a, b) => a - b)], LogProbs(_policy, pair));
        }
        finally
        {
            optimiser.Free();
            backend.Upload(before, values);
        }
    }

    private IReadOnlyList<TokenExplanation> Tokens(PreferencePair pair, PairScore score, double[] whole)
    {
        int[] ids = [.. pair.Chosen, .. pair.Rejected];
        var (policy, reference) = (TokenLogProbs(_policy, pair), TokenLogProbs(_reference, pair));
        var square = Dot(whole, whole);
        return [.. ids.Select((id, i) =>
        {
            var isChosen = i < pair.Chosen.Length;
            var gradient = TokenGradient(pair, i, ids.Length);
            var slope = isChosen ? score.LossByChosenLogProb : score.LossByRejectedLogProb;
            return new TokenExplanation(
                isChosen ? "chosen" : "rejected", id, _text(id), policy[i], reference[i], Norm(gradient),
                square > 0 ? slope * Dot(gradient, whole) / square : null);
        })];
    }

    /// <summary>The gradient of one token's log-prob by all weights, in the order of <see cref="ParameterSet.Gradients"/>.</summary>
    internal double[] TokenGradient(PreferencePair pair, int token, int count)
    {
        using var step = new StepScope(_policy.Backend);
        var cotangent = new Real[count];
        cotangent[token] = 1;
        return Gradient(_policy.TokenLogProbs(PreferencePairs.Pack(_policy.Backend, [pair])), cotangent);
    }

    private static Real[] TokenLogProbs(Transformer model, PreferencePair pair)
    {
        using var step = new StepScope(model.Backend, gradients: false);
        return model.TokenLogProbs(PreferencePairs.Pack(model.Backend, [pair])).ToArray();
    }

    private double[] Download(DeviceBuffer buffer)
    {
        var values = new Real[buffer.Length];
        _policy.Backend.Download(buffer, values);
        return [.. values.Select(static v => (double)v)];
    }

    private static double Norm(double[] a) => Math.Sqrt(Dot(a, a));

    private static double Dot(double[] a, double[] b)
    {
        double sum = 0;
        for (var i = 0; i < a.Length; i++)
        {
            sum += a[i] * b[i];
        }
        return sum;
    }
}
