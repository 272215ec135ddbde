using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>What `tinydpo explain` is asked for.</summary>
public sealed record ExplainRunOptions
{
    public required string Policy { get; init; }

    public required string Reference { get; init; }

    public string? Tokenizer { get; init; }

    public required string Data { get; init; }

    /// <summary>How conversations become text; null for the tokenizer's own template.</summary>
    public ChatTemplate? Template { get; init; }

    /// <summary>The line of the one pair to explain; null for all.</summary>
    public int? Pair { get; init; }

    /// <summary>Whether to take tokens apart too.</summary>
    public bool Tokens { get; init; }

    public required IPreferenceLoss Loss { get; init; }

    /// <summary>The optimiser of the step, its learning rate and weight decay.</summary>
    public required TrainingOptions Step { get; init; }
}

/// <summary>Takes the gradient of each pair's loss apart; nothing is kept of the steps it tries.</summary>
public static class ExplainRun
{
    /// <exception cref="InputException">Bad input.</exception>
    public static IReadOnlyList<PairExplanation> Run(ExplainRunOptions options, IBackend backend, IRunLog log, CancellationToken cancellation)
    {
        var (policy, reference, tokenizer, all, positions) =
            ScoredPairs.Load(options.Policy, options.Reference, options.Tokenizer, options.Data, options.Template, backend, log);
        using var read = all;
        IReadOnlyList<PreferencePair> pairs = options.Pair is { } line ? [.. all.Where(p => p.Line == line)] : all;
        if (pairs.Count == 0)
        {
            throw new InputException(options.Data, $"line {options.Pair}", "holds no pair", "give --pair the line of one");
        }
        if (pairs.FirstOrDefault(static p => p.IsUnpaired) is { } unpaired)
        {
            throw new InputException(options.Data, $"line {unpaired.Line}", "is an unpaired row, which has no pair's gradient", "give pairs");
        }
        _ = RunChecks.RequireFinite(ReferenceLogProbs.OfReference(reference, pairs, options.Loss, positions, cancellation: cancellation), pairs, options.Reference, options.Data);
        _ = RunChecks.RequireFinite(ReferenceLogProbs.Compute(policy, pairs, cancellation: cancellation), pairs, options.Policy, options.Data);
        var explainer = new PairExplainer(policy, reference, options.Loss, options.Step, id => tokenizer?.Decode([id]));
        log.Stage("explain", pairs.Count);
        var explanations = new List<PairExplanation>();
        foreach (var pair in pairs)
        {
            cancellation.ThrowIfCancellationRequested();
            explanations.Add(Explain(pair));
            log.Advance(explanations.Count);
        }
        return explanations;

        PairExplanation Explain(PreferencePair pair)
        {
            try
            {
                var explanation = explainer.Explain(pair, options.Tokens);
                RunChecks.RequireFinite(explanation.Quantities, options.Data, pair.Line);
                return explanation;
            }
            catch (NonFiniteException e)
            {
                throw RunChecks.NotFinite(e.What, options.Data, pair.Line); // the models' log-probs are finite: it is not their weights
            }
        }
    }
}
