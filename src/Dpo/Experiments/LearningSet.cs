namespace TinyDpo.Dpo;

/// <summary>What preference training learns from.</summary>
/// <param name="Reference">SFT's log-probs of the pairs; those of more pairs behind them are not looked at.</param>
/// <param name="Epochs">Passes over the pairs.</param>
internal sealed record LearningSet(PreferencePair[] Pairs, ReferenceLogProbs Reference, int Epochs);

/// <summary>Where a pair's completions come from: SFT's model at a temperature, or, without one, the world's own writer.</summary>
internal sealed record PairSource(double? Temperature)
{
    public static PairSource Writer { get; } = new((double?)null);

    public override string ToString() =>
        Temperature is { } temperature ? FormattableString.Invariant($"SFT at temperature {temperature}") : "written by the world";
}
