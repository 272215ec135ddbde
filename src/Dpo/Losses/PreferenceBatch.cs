using TinyDpo.Kernels;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>Tokens of the prompts and completions of a batch, a number a pair; 0 for the completion that an unpaired row lacks.</summary>
public sealed record PairLengths(int[] Prompt, int[] Chosen, int[] Rejected)
{
    public static PairLengths Of(IReadOnlyList<PreferencePair> pairs)
    {
        var lengths = new PairLengths(new int[pairs.Count], new int[pairs.Count], new int[pairs.Count]);
        foreach (var (i, pair) in pairs.Index())
        {
            (lengths.Prompt[i], lengths.Chosen[i], lengths.Rejected[i]) = (pair.Prompt.Length, pair.Chosen.Length, pair.Rejected.Length);
        }
        return lengths;
    }
}

/// <summary>What a mean over tokens divides by: the whole batch's numbers, also where this part of it is a micro-batch.</summary>
/// <param name="Pairs">Pairs in the batch.</param>
/// <param name="ChosenTokens">Tokens of all chosen completions.</param>
/// <param name="PromptTokens">Tokens of all prompts that are predicted: all but each one's first.</param>
public sealed record BatchTotals(int Pairs, int ChosenTokens, int PromptTokens)
{
    public static BatchTotals Of(PairLengths lengths) => new(lengths.Prompt.Length, lengths.Chosen.Sum(), lengths.Prompt.Sum() - lengths.Prompt.Length);
}

/// <summary>All that a loss may look at. What a loss did not ask for in <see cref="IPreferenceLoss.Inputs"/> is null.</summary>
/// <param name="Policy">log pi of both completions, sums over tokens.</param>
/// <param name="Reference">log pi_ref of both, without a gradient.</param>
public sealed record PreferenceBatch(PairLogProbs Policy, PairLogProbs Reference)
{
    private readonly PairLengths? _lengths;
    private readonly BatchTotals? _totals;

    /// <exception cref="InvalidOperationException">They were not given.</exception>
    public PairLengths Lengths
    {
        get => _lengths ?? throw new InvalidOperationException("this loss needs the completions' lengths, which the batch does not have");
        init => _lengths = value;
    }

    /// <summary>By default those of the pairs at hand.</summary>
    public BatchTotals Totals
    {
        get => _totals ?? BatchTotals.Of(Lengths);
        init => _totals = value;
    }

    /// <summary>log pi of each prompt after its first token, [pairs].</summary>
    public Tensor? Prompts { get; init; }

    /// <summary><see cref="TokenConfidence"/> of both completions, constants.</summary>
    public PairLogProbs? Confidence { get; init; }

    /// <summary>log(pi / pi_ref) of the mismatched completions, in no order.</summary>
    public double[]? MismatchedRatios { get; init; }

    public IBackend Backend => Policy.Chosen.Backend;

    /// <summary>log(pi / pi_ref) of both completions, [pairs] each.</summary>
    public PairLogProbs LogRatios => new(Policy.Chosen - Reference.Chosen, Policy.Rejected - Reference.Rejected);

    /// <summary>The mean log-probs of a token under the policy.</summary>
    public PairLogProbs PolicyMeans => PerToken(Policy);

    /// <summary>Sums over a completion's tokens become means.</summary>
    public PairLogProbs PerToken(PairLogProbs sums) =>
        new(sums.Chosen * Constant([.. Lengths.Chosen.Select(static n => 1 / (Real)n)]), sums.Rejected * Constant([.. Lengths.Rejected.Select(static n => 1 / (Real)n)]));

    /// <summary>Each completion's share of its row, times a weight: half of a pair's, the whole of an unpaired row's, 0 for the one that it lacks.</summary>
    public PairLogProbs CompletionShares(double chosenWeight = 1, double rejectedWeight = 1)
    {
        return new(
            Constant([.. Lengths.Chosen.Zip(Lengths.Rejected, (own, other) => Share(own, other, chosenWeight))]),
            Constant([.. Lengths.Rejected.Zip(Lengths.Chosen, (own, other) => Share(own, other, rejectedWeight))]));

        static Real Share(int own, int other, double weight) => (Real)(own == 0 ? 0 : other == 0 ? weight : weight / 2);
    }

    /// <summary>
    /// Each pair's share of the chosen completions' mean negative log-prob: the mean of the shares over the batch is the mean over its
    /// tokens. With prompts their tokens, all but each one's first, are in sum and number.
    /// </summary>
    public Tensor ChosenNegativeLogLikelihood(bool withPrompts = false)
    {
        var sum = withPrompts ? Required(Prompts, "prompts' log-probs") + Policy.Chosen : Policy.Chosen;
        return -(double)Totals.Pairs / (Totals.ChosenTokens + (withPrompts ? Totals.PromptTokens : 0)) * sum;
    }

    public Tensor Constant(Real[] values) => Tensor.From(Backend, Shape.Vector(values.Length), values);

    internal static T Required<T>(T? value, string what)
        where T : class =>
        value ?? throw new InvalidOperationException($"this loss needs the {what}, which the batch does not have");

    internal static T Required<T>(T? value, string what)
        where T : struct =>
        value ?? throw new InvalidOperationException($"this loss needs the {what}, which the batch does not have");
}
