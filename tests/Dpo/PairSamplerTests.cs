using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Tests;

public class PairSamplerTests
{
    private static readonly GenerationOptions s_generation = new() { MaxTokens = 6, EosId = ByteTokenizer.Eos, Seed = 7 };

    [Test]
    public void RankedPairsAreOrderedByReward()
    {
        ScoredCompletion[][] completions = [[Scored("a", 0.3), Scored("b", 0.9), Scored("c", 0.1), Scored("d", 0.3)]];
        var all = Pairs(completions, Pairing.All);
        Assert.That(all.Select(static p => p.Chosen.Text + p.Rejected.Text), Is.EqualTo(new[] { "ba", "ac", "bc", "bd", "dc" }), "a and d are equal");
        Assert.That(Pairs(completions, Pairing.BestWorst).Select(static p => p.Chosen.Text + p.Rejected.Text), Is.EqualTo(new[] { "bc" }));
    }

    [Test]
    public void TwoThatReadTheSameOrAreWorthTheSameMakeNoPair()
    {
        ScoredCompletion[] same = [Scored("a", 0.3), Scored("a", 0.3)];
        foreach (var labelling in new[] { Labelling.Ranked, Labelling.BradleyTerry })
        {
            Assert.That(Pairs([same, [Scored("a", 1)], []], Pairing.All, labelling), Is.Empty);
            Assert.That(Pairs([same, [Scored("a", 1)], []], Pairing.BestWorst, labelling), Is.Empty);
        }
        Assert.That(Pairs([[Scored("a", 0.3), Scored("b", 0.3)]], Pairing.All), Is.Empty);
        Assert.That(Pairs([[Scored("a", 0.3), Scored("b", 0.3)]], Pairing.All, Labelling.BradleyTerry), Has.Length.EqualTo(1), "a coin decides");
    }

    [TestCase(0.5, 0.4, 8)]
    [TestCase(0.2, 0.5, 8)]
    [TestCase(1.0, 0.5, 2)]
    public void BradleyTerryLabelsHaveTheirFrequencies(double rewardA, double rewardB, double scale)
    {
        const int count = 4000;
        var completions = Enumerable.Repeat(new[] { Scored("a", rewardA), Scored("b", rewardB) }, count).ToArray();
        var pairs = Pairs(completions, Pairing.All, Labelling.BradleyTerry, scale);
        var p = 1 / (1 + Math.Exp(-scale * (rewardA - rewardB)));
        Assert.That(pairs, Has.Length.EqualTo(count));
        Assert.That(pairs.Select(static x => x.Prompt), Is.EqualTo(Enumerable.Range(0, count)));
        // Four standard deviations, of a seed that never changes.
        Assert.That(pairs.Count(static x => x.Chosen.Text == "a"), Is.EqualTo(count * p).Within(4 * Math.Sqrt(count * p * (1 - p))));
    }

    [Test]
    public void SamplesAreScoredWithoutTheirEndTokenPromptByPrompt()
    {
        using var backend = new CpuBackend(1);
        var tokenizer = new ByteTokenizer();
        var model = TinyModels.Create(backend, TinyModels.Config(vocabulary: tokenizer.VocabSize));
        var prompts = new[] { "one", "two" }.Select(text => (tokenizer.Encode(text), text)).ToArray();
        var reward = new LengthReward();
        ScoredCompletion[][] Sample(ulong seed, int maxTokens = 30) => PairSampler.Sample(
            model, tokenizer, prompts, 30, s_generation with { Seed = seed, MaxTokens = maxTokens }, reward);

        var samples = Sample(1);
        Assert.That(samples.Select(static s => s.Length), Is.EqualTo(new[] { 30, 30 }));
        var all = samples.SelectMany(static s => s).ToArray();
        Assert.That(all.Any(static s => s.Ended), Is.True);
        foreach (var (sample, i) in all.Select(static (s, i) => (s, i)))
        {
            Assert.That(sample.Tokens.Contains(ByteTokenizer.Eos), Is.EqualTo(sample.Ended));
            Assert.That(sample.Text, Is.EqualTo(tokenizer.DecodeContinuation([.. sample.Tokens.Where(static t => t != ByteTokenizer.Eos)])));
            Assert.That(sample.Reward, Is.EqualTo(reward.Score(prompts[i / 30].text, sample.Text)));
        }
        string[] Texts(ScoredCompletion[][] s) => [.. s.SelectMany(static c => c).Select(static c => c.Text)];
        Assert.That(Texts(Sample(1)), Is.EqualTo(Texts(samples)));
        Assert.That(Texts(Sample(2)), Is.Not.EqualTo(Texts(samples)));
        Assert.That(Texts(samples).Distinct().Count(), Is.GreaterThan(50), "each sequence has its own random numbers");
    }

    private static ScoredCompletion Scored(string text, double reward) => new([1], text, true, reward);

    private static SampledPair[] Pairs(
        ScoredCompletion[][] completions, Pairing pairing, Labelling labelling = Labelling.Ranked, double scale = World.PreferenceScale) =>
        [.. PairSampler.Pair(completions, new PairSamplerOptions { Pairing = pairing, Labelling = labelling, Scale = scale, Generation = s_generation })];

    private sealed class LengthReward : IReward
    {
        public string Name => "length";

        public double Score(string prompt, string continuation) => prompt[0] + continuation.Length;
    }
}
