using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>What a model makes of the completions token by token, under the names that TRL logs.</summary>
/// <param name="Entropy">The mean entropy of the next token's distribution, in nats, over all completions' tokens.</param>
/// <param name="MeanTokenAccuracy">Share of the chosen completions' tokens that are the likeliest; null where there is none.</param>
/// <param name="Kl">
/// The mean of KL(model || reference) of the next token's two distributions, exact over the vocabulary, in nats, over all completions'
/// tokens: how far apart the two are on the text at hand, which neither has sampled. Null without a reference.
/// </param>
public sealed record TokenStatistics(double Entropy, double? MeanTokenAccuracy, double? Kl)
{
    /// <summary>The name of <see cref="Kl"/>.</summary>
    public const string KlName = "kl";

    public IEnumerable<(string Name, double Value)> Metrics =>
    [
        ("entropy", Entropy),
        .. MeanTokenAccuracy is { } accuracy ? [("mean_token_accuracy", accuracy)] : None,
        .. Kl is { } kl ? [(KlName, kl)] : None,
    ];

    private static IEnumerable<(string Name, double Value)> None => [];

    /// <summary>Runs a model, and its reference if there is one, over all pairs without gradients.</summary>
    /// <param name="reference">The model itself for what it is without its adapters; null for none.</param>
    public static TokenStatistics Measure(
        Transformer model, IReadOnlyList<PreferencePair> pairs, int tokenBudget = SftTask.DefaultTokenBudget, Transformer? reference = null,
        CancellationToken cancellation = default)
    {
        var (entropy, divergence, tokens, right, chosen) = (0.0, 0.0, 0, 0, 0);
        foreach (var (_, part) in MicroBatches.Of(pairs, PreferencePairs.Tokens, tokenBudget))
        {
            cancellation.ThrowIfCancellationRequested();
            using var step = new StepScope(model.Backend, gradients: false);
            // All chosen completions' tokens come first.
            var (targets, ofChosen) = ((int[])[.. part.SelectMany(static p => p.Chosen), .. part.SelectMany(static p => p.Rejected)], part.Sum(static p => p.Chosen.Length));
            var packed = PreferencePairs.Pack(model.Backend, part);
            var hidden = model.Hidden(packed);
            var other = reference == model ? model.WithoutAdapters(() => model.Hidden(packed)) : reference?.Hidden(packed);
            LogitChunks.Each(model.Backend, packed.Rows, model.Config.VocabSize, (from, rows) =>
            {
                var logits = model.Logits(hidden, rows);
                divergence += other is null ? 0 : RowKl(logits, reference!.Logits(other, rows).Data).Sum(static x => (double)x);
                var (entropies, likeliest) = OfLogits(logits);
                entropy += entropies.Sum(static x => (double)x);
                right += likeliest.Where((token, i) => from + i < ofChosen && token == targets[from + i]).Count();
            });
            tokens += targets.Length;
            chosen += ofChosen;
        }
        return new TokenStatistics(entropy / tokens, chosen == 0 ? null : (double)right / chosen, reference is null ? null : divergence / tokens);
    }

    // KL(p || uniform) = log V - H(p).
    private static (Real[] Entropy, int[] Likeliest) OfLogits(Tensor logits)
    {
        var (backend, rows, vocabulary) = (logits.Backend, logits.Shape.Rows, logits.Shape.Columns);
        var uniform = backend.Memory.Rent(logits.Shape.Count);
        backend.Fill(uniform, 0);
        var kl = RowKl(logits, uniform);
        var (any, token, likeliest) = (backend.Memory.RentIndex(rows), backend.Memory.RentIndex(rows), new int[rows]);
        backend.Upload(new int[rows], any);
        backend.Sample(logits.Data, rows, vocabulary, new SamplingOptions(Temperature: 0), 0, any, any, token);
        backend.Download(token, likeliest);
        return ([.. kl.Select(x => (Real)Math.Log(vocabulary) - x)], likeliest);
    }

    private static Real[] RowKl(Tensor logits, DeviceBuffer others)
    {
        var kl = Tensor.Uninitialised(logits.Backend, Shape.Vector(logits.Shape.Rows));
        logits.Backend.RowKl(logits.Data, others, logits.Shape.Rows, logits.Shape.Columns, kl.Data, 0);
        return kl.ToArray();
    }
}
