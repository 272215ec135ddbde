using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>What a model makes of the completions token by token, under the names that TRL logs.</summary>
/// <param name="Entropy">The mean entropy of the next token's distribution, in nats, over all completions' tokens.</param>
/// <param name="MeanTokenAccuracy">Share of the chosen completions' tokens that are the likeliest; null where there is none.</param>
public sealed record TokenStatistics(double Entropy, double? MeanTokenAccuracy)
{
    public IEnumerable<(string Name, double Value)> Metrics =>
        MeanTokenAccuracy is { } accuracy ? [("entropy", Entropy), ("mean_token_accuracy", accuracy)] : [("entropy", Entropy)];

    /// <summary>Runs a model over all pairs without gradients.</summary>
    public static TokenStatistics Measure(
        Transformer model, IReadOnlyList<PreferencePair> pairs, int tokenBudget = SftTask.DefaultTokenBudget, CancellationToken cancellation = default)
    {
        var (entropy, tokens, right, chosen) = (0.0, 0, 0, 0);
        foreach (var (_, part) in MicroBatches.Of(pairs, PreferencePairs.Tokens, tokenBudget))
        {
            cancellation.ThrowIfCancellationRequested();
            using var step = new StepScope(model.Backend, gradients: false);
            // All chosen completions' tokens come first.
            var (targets, ofChosen) = ((int[])[.. part.SelectMany(static p => p.Chosen), .. part.SelectMany(static p => p.Rejected)], part.Sum(static p => p.Chosen.Length));
            var packed = PreferencePairs.Pack(model.Backend, part);
            var hidden = model.Hidden(packed);
            LogitChunks.Each(model.Backend, packed.Rows, model.Config.VocabSize, (from, rows) =>
            {
                var (entropies, likeliest) = OfLogits(model.Logits(hidden, rows));
                entropy += entropies.Sum(static x => (double)x);
                right += likeliest.Where((token, i) => from + i < ofChosen && token == targets[from + i]).Count();
            });
            tokens += targets.Length;
            chosen += ofChosen;
        }
        return new TokenStatistics(entropy / tokens, chosen == 0 ? null : (double)right / chosen);
    }

    // KL(p || uniform) = log V - H(p).
    private static (Real[] Entropy, int[] Likeliest) OfLogits(Tensor logits)
    {
        var (backend, rows, vocabulary) = (logits.Backend, logits.Shape.Rows, logits.Shape.Columns);
        var uniform = backend.Memory.Rent(logits.Shape.Count);
        backend.Fill(uniform, 0);
        var kl = Tensor.Uninitialised(backend, Shape.Vector(rows));
        backend.RowKl(logits.Data, uniform, rows, vocabulary, kl.Data, 0);
        var (any, token, likeliest) = (backend.Memory.RentIndex(rows), backend.Memory.RentIndex(rows), new int[rows]);
        backend.Upload(new int[rows], any);
        backend.Sample(logits.Data, rows, vocabulary, new SamplingOptions(Temperature: 0), 0, any, any, token);
        backend.Download(token, likeliest);
        return ([.. kl.ToArray().Select(x => (Real)Math.Log(vocabulary) - x)], likeliest);
    }
}
