using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>What several commands check of their files before, or instead of, long work.</summary>
internal static class RunChecks
{
    /// <summary>Proves that a file can be written at its path, so that work fails at its start, not at its end. Leaves nothing but its folder.</summary>
    /// <exception cref="InputException">It cannot.</exception>
    public static void RequireWritableFile(string path)
    {
        if (Directory.Exists(path))
        {
            throw new InputException(path, null, "is a folder, not a file", "name a file in it");
        }
        AtomicFile.RequireWritableFolder(Path.GetDirectoryName(Path.GetFullPath(path))!);
    }

    /// <summary>Log-probs of broken weights are NaN: JSON cannot hold them, and nothing can be learnt from them.</summary>
    /// <exception cref="InputException">A log-prob is not finite.</exception>
    public static ReferenceLogProbs RequireFinite(ReferenceLogProbs logProbs, IReadOnlyList<PreferencePair> pairs, string model, string data)
    {
        for (var i = 0; i < pairs.Count; i++)
        {
            if (!Real.IsFinite(logProbs.Chosen[i]) || !Real.IsFinite(logProbs.Rejected[i]))
            {
                throw new InputException(
                    model, null, $"its log-probs of {data}, line {pairs[i].Line}, are not finite", "its weights are damaged: copy or train them again");
            }
        }
        return logProbs;
    }

    /// <summary>JSON has no infinity, and a pair that gives one has nothing to say.</summary>
    /// <param name="quantities">Of one pair, by name.</param>
    /// <exception cref="InputException">One is not finite, of log-probs that are: names it.</exception>
    public static void RequireFinite(IEnumerable<(string Name, double Value)> quantities, string data, int line)
    {
        if (quantities.FirstOrDefault(static q => !double.IsFinite(q.Value)).Name is { } name)
        {
            throw NotFinite(name, data, line);
        }
    }

    public static InputException NotFinite(string quantity, string data, int line) => new(
        data, $"line {line}", $"{quantity} is not finite with this loss and beta", "give another --beta or --loss, or a smaller --learning-rate where there is one");

    /// <exception cref="InputException">A row is unpaired, and it is not for this loss; or the loss needs another row's completions, and there is none.</exception>
    public static void RequirePairsFor(IPreferenceLoss loss, IReadOnlyList<PreferencePair> pairs, string path)
    {
        // With its own completions in their place KTO's z would be the log-ratio that it is to be compared with: TRL refuses batches of one.
        if (loss.Inputs.HasFlag(LossInputs.Mismatched) && pairs.Count == 1)
        {
            throw new InputException(
                path, $"line {pairs[0].Line}", "is the only row, and the loss estimates its KL from other rows' completions", "give two rows or more, or another --loss than kto");
        }
        if (!loss.TakesUnpaired && pairs.FirstOrDefault(static p => p.IsUnpaired) is { } row)
        {
            throw new InputException(
                path, $"line {row.Line}", "is an unpaired row, and the loss compares a pair's two completions", "give pairs, or --loss kto or apo_zero_unpaired");
        }
    }

    /// <exception cref="InputException">The two models have other parameters.</exception>
    public static void RequireSameParameters(Transformer policy, Transformer reference, string referencePath)
    {
        if (!policy.Weights.Tensors.Select(static t => (t.Name, t.Value.Shape)).SequenceEqual(reference.Weights.Tensors.Select(static t => (t.Name, t.Value.Shape))))
        {
            throw new InputException(referencePath, null, "has not the policy's parameters, so that the two cannot be mixed", "give a reference of the policy's shape, or no --sync-reference");
        }
    }

    /// <summary>Training starts from a whole model: its reference is that model, and new adapters go beside its weights.</summary>
    /// <exception cref="InputException">The model has adapters.</exception>
    public static void RequireWhole(Transformer model, string path)
    {
        if (model.Adapters is not null)
        {
            throw new InputException(path, null, "holds adapters, not a whole model to train", "merge them first with tinydpo merge");
        }
    }

    /// <exception cref="InputException">The two models have vocabularies of different size.</exception>
    public static void RequireSameVocabulary(Transformer policy, Transformer reference, string referencePath)
    {
        if (policy.Config.VocabSize != reference.Config.VocabSize)
        {
            throw new InputException(
                referencePath, "vocab_size", $"is {reference.Config.VocabSize}, but the policy's is {policy.Config.VocabSize}",
                "give a reference with the policy's tokenizer");
        }
    }
}
