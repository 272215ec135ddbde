using System.Text.Json;

namespace TinyDpo.Dpo;

/// <summary>What the demonstration found on prefixes that no training saw.</summary>
/// <param name="Comparison">DPO's policy against SFT's.</param>
/// <param name="RewardAccuracy">Share of held-out pairs whose chosen completion has the larger implicit reward.</param>
/// <param name="BayesAccuracy">The most that any judge could reach on those pairs, since their labels are drawn.</param>
/// <param name="Prefixes">The held-out prefixes, one a sample.</param>
public sealed record DemoReport(PolicyComparison Comparison, Interval RewardAccuracy, double BayesAccuracy, string[] Prefixes)
{
    /// <summary>Share of the policy's samples that the grammar accepts.</summary>
    public double PolicyGrammatical => Grammatical(Comparison.PolicySamples);

    public double SftGrammatical => Grammatical(Comparison.ReferenceSamples);

    /// <summary>Samples of the same prefix before and after.</summary>
    public IEnumerable<(string Prefix, ScoredCompletion Sft, ScoredCompletion Dpo)> Examples(int count) =>
        Enumerable.Range(0, Math.Min(count, Prefixes.Length)).Select(i => (Prefixes[i], Comparison.ReferenceSamples[i], Comparison.PolicySamples[i]));

    /// <summary>summary.json: the same bytes for the same seed, so it holds no time and no path.</summary>
    public string ToJson() => JsonSerializer.Serialize(
        new
        {
            sft = new { reward = Comparison.ReferenceReward.Estimate, grammatical = SftGrammatical },
            dpo = new { reward = Comparison.PolicyReward.Estimate, grammatical = PolicyGrammatical, kl = Comparison.Kl.Estimate },
            win_rate = Comparison.WinRate.Estimate,
            win_rate_low = Comparison.WinRate.Low,
            win_rate_high = Comparison.WinRate.High,
            reward_accuracy = RewardAccuracy.Estimate,
            bayes_accuracy = BayesAccuracy,
        },
        s_indented) + "\n";

    private static readonly JsonSerializerOptions s_indented = new() { WriteIndented = true };

    private double Grammatical(ScoredCompletion[] samples) => new WorldReward(World.Reviews).GrammaticalShare(Prefixes, samples);
}
