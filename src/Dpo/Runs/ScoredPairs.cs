using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>Policy, reference and pairs that fit both.</summary>
internal sealed record ScoredPairs(Transformer Policy, Transformer Reference, ITokenizer? Tokenizer, TokenRows<PreferencePair> Pairs, int Positions)
{
    /// <param name="template">How conversations become text; null for the tokenizer's own template.</param>
    /// <exception cref="InputException">Bad input.</exception>
    public static ScoredPairs Load(string policyPath, string referencePath, string? tokenizerPath, string data, ChatTemplate? template, IBackend backend, IRunLog log)
    {
        var (policy, tokenizer) = ModelFile.Load(policyPath, backend, tokenizerPath);
        var reference = ModelFile.LoadWeights(referencePath, backend);
        RunChecks.RequireSameVocabulary(policy, reference, referencePath);
        var positions = Math.Min(policy.Config.MaxPositions, reference.Config.MaxPositions);
        var (pairs, summary) = PreferenceData.Read(data, tokenizer, new PreferenceDataOptions
        {
            // A score of a pair that was cut would be that of another pair.
            Strict = true,
            MaxLength = positions,
            Template = template,
            VocabSize = policy.Config.VocabSize,
        });
        log.Note(summary.Describe());
        return new ScoredPairs(policy, reference, tokenizer, pairs, positions);
    }
}
