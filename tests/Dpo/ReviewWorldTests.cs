using FsCheck;
using FsCheck.Fluent;
using TinyDpo.Dpo;
using TinyDpo.Kernels;

namespace TinyDpo.Tests;

public class ReviewWorldTests
{
    private const int Many = 20_000;

    private static readonly Grammar Grammar = ReviewWorldRules.Grammar;

    private static readonly double[] Rewards =
        [.. Enumerable.Range(0, Many).Select(i => ReviewReward.Of(World.Reviews.SampleContinuation("", 1, i)))];

    [Test]
    public void EverySampleIsAcceptedAndEachSplitGivesItsOwnPrefixes() =>
        Prop.ForAll<ulong, NonNegativeInt>((seed, index) => Enum.GetValues<PrefixSplit>().All(split =>
        {
            var (prefix, continuation) = World.Reviews.Sample(seed, index.Get, split);
            return World.Reviews.Accepts(prefix, continuation) && World.SplitOf(prefix) == split &&
                continuation.StartsWith(' ') && !World.Reviews.Accepts(continuation, prefix);
        })).QuickCheckThrowOnFailure();

    [Test]
    public void AReviewIsAFunctionOfSeedAndIndex()
    {
        var first = Enumerable.Range(0, 50).Select(i => World.Reviews.SampleText(7, i)).ToArray();
        Assert.That(Enumerable.Range(0, 50).Reverse().Select(i => World.Reviews.SampleText(7, i)), Is.EqualTo(first.Reverse()));
        Assert.That(first, Is.Not.EqualTo(Enumerable.Range(0, 50).Select(i => World.Reviews.SampleText(8, i))));
        Assert.That(World.Reviews.SampleText(7, 3), Is.EqualTo(World.Reviews.SamplePrefix(7, 3) + World.Reviews.SampleContinuation("", 7, 3)));
    }

    /// <summary>
    /// A word dropped, one doubled, or two neighbours swapped: few such texts are reviews still ("quite dull" without "quite").
    /// </summary>
    [Test]
    public void CorruptedReviewsAreRejected()
    {
        var corrupted = new List<(string Prefix, string Continuation)>();
        for (var i = 0; i < 500; i++)
        {
            var (prefix, continuation) = World.Reviews.Sample(2, i);
            var words = continuation[1..].Split(' ');
            var at = (int)(Philox.Uniform(2, RandomPurpose.Test, 0, 0, i) * (words.Length - 1));
            string[][] variants =
            [
                [.. words[..at], .. words[(at + 1)..]],
                [.. words[..at], words[at], .. words[at..]],
                [.. words[..at], words[at + 1], words[at], .. words[(at + 2)..]],
            ];
            corrupted.AddRange(variants.Select(v => (prefix, " " + string.Join(' ', v))));
        }
        Assert.That(corrupted.Count(c => World.Reviews.Accepts(c.Prefix, c.Continuation)), Is.LessThan(corrupted.Count / 20));
    }

    [TestCase("it is worth a visit.")]
    [TestCase("")]
    [TestCase(" the plot was superb. we left happy. it is worth a visit. ")]
    [TestCase(" the plot was superb.  we left happy. it is worth a visit.")]
    [TestCase(" The plot was superb. we left happy. it is worth a visit.")]
    [TestCase(" the plot was superb . we left happy. it is worth a visit.")]
    [TestCase(" the plot was superb. we left happy. it is worth a visit")]
    [TestCase(" the plot was superb. we left happy. i regret every minute.")] // no latent praises first and then condemns without "while"
    [TestCase(" the plot was superb, and the music felt dull. we left happy. it is worth a visit.")]
    [TestCase(" the plot was superb, and the music felt good. we left angry. it is worth a visit.")]
    [TestCase(" the plot was never dull. we left happy. it is worth a visit.")] // "never" has words of its own
    [TestCase(" the plot was never moving. we left happy. i regret every minute.")] // who is forgiving recommends
    [TestCase(" the plot was superb. we left happy. it is fine for a rainy evening.")] // only a mixed review may close so
    [TestCase(" the PLOT was superb. we left happy. it is worth a visit.")]
    public void TextsBesideTheGrammarAreRejected(string continuation)
    {
        Assert.That(World.Reviews.Accepts("i saw iron harbor at home today.", " the plot was superb. we left happy. it is worth a visit."));
        Assert.That(World.Reviews.Accepts("i saw iron harbor at home today.", continuation), Is.False);
    }

    /// <summary>A mixed review may end in praise throughout: a tilt toward reward need not leave the grammar.</summary>
    [Test]
    public void AMixedReviewMayCloseEitherWay([Values("i regret every minute.", "it deserves every prize.")] string verdict) =>
        Assert.That(World.Reviews.Accepts("last week two friends watched blue clock online.",
            $" the plot was dull, while the music felt warm. we left happy. {verdict}"));

    [Test]
    public void TheLanguageIsSmallAndThePrefixesAreMany()
    {
        var words = Grammar.Words(ReviewWorldRules.Prefix).Concat(Grammar.Words(ReviewWorldRules.Latent)).Distinct().ToArray();
        var (prefix, continuation) = (Grammar.Lengths(ReviewWorldRules.Prefix), Grammar.Lengths(ReviewWorldRules.Latent));
        Assert.That(words, Has.Length.LessThanOrEqualTo(300));
        Assert.That(Grammar.Count(ReviewWorldRules.Prefix), Is.GreaterThan(20_000));
        Assert.That((prefix.Shortest, prefix.Longest), Is.EqualTo((6, 10)));
        Assert.That(prefix.Shortest + continuation.Shortest, Is.GreaterThanOrEqualTo(12));
        Assert.That(prefix.Longest + continuation.Longest, Is.LessThanOrEqualTo(40));
        Assert.That(words, Is.SupersetOf(ReviewWorldRules.Valence.Keys), "a valence belongs to no word of the grammar");
        Assert.That(Grammar.Words(ReviewWorldRules.Prefix).Where(ReviewWorldRules.Valence.ContainsKey), Is.Empty, "prefixes are neutral");
    }

    [Test]
    public void HeldOutPrefixesAreAboutOneInEight()
    {
        var held = Enumerable.Range(0, Many).Count(i => World.SplitOf(string.Join(' ', Grammar.Sample(ReviewWorldRules.Prefix,
            Uniform(i)))) == PrefixSplit.HeldOut);
        Assert.That(held / (double)Many, Is.EqualTo(1 / 8.0).Within(0.01));

        static Func<double> Uniform(int index)
        {
            var position = 0;
            return () => Philox.Uniform(9, RandomPurpose.Test, 1, index, position++);
        }
    }

    [Test]
    public void RewardsAreCentredWideAndSymmetric()
    {
        var mean = Rewards.Average();
        Assert.That(mean, Is.EqualTo(0.5).Within(0.01));
        Assert.That(Statistics.StandardDeviation(Rewards), Is.InRange(0.2, 0.3));
        Assert.That(Rewards.Count(r => r > 0.7), Is.EqualTo(Rewards.Count(r => r < 0.3)).Within(5).Percent);
    }

    /// <summary>
    /// The best policy at a KL is the exponential tilt of the reference: there must be room for DPO to do what is asked of it.
    /// </summary>
    [Test]
    public void ATiltOfTwoNatsReachesARewardOf085()
    {
        const double sharpness = 16;
        var weights = Rewards.Select(r => Math.Exp(sharpness * r)).ToArray();
        var normaliser = weights.Average();
        var reward = weights.Zip(Rewards, (w, r) => w * r).Average() / normaliser;
        Assert.That(reward, Is.GreaterThan(0.86));
        Assert.That((sharpness * reward) - Math.Log(normaliser), Is.LessThan(2));
    }

    [TestCase("the plot was superb.", "the plot was good.")]
    [TestCase("the plot was good.", "the plot was.")]
    [TestCase("the plot was.", "the plot was dull.")]
    [TestCase("the plot was never boring.", "the plot was never moving.")]
    [TestCase("the plot was never dull.", "the plot was.")]
    [TestCase("the plot was good.", "the plot was never good.")]
    [TestCase("the plot was truly good.", "the plot was good.")]
    [TestCase("the plot was good.", "the plot was rather good.")]
    [TestCase("i would recommend it.", "i would not recommend it.")]
    [TestCase("it was dull. it is charming.", "it was charming. it is dull.")] // the verdict counts more
    [TestCase("not really dull.", "not dull.")]
    public void RewardsAreOrdered(string better, string worse) =>
        Assert.That(ReviewReward.Of(better), Is.GreaterThan(ReviewReward.Of(worse)));

    [Test]
    public void RepetitionGainsNothing()
    {
        Assert.That(ReviewReward.Of("superb superb superb superb"), Is.EqualTo(ReviewReward.Of("superb")));
        Assert.That(ReviewReward.Of("really really really good"), Is.EqualTo(ReviewReward.Of("really good")));
        Assert.That(ReviewReward.Of("superb. superb. superb. superb."), Is.LessThan(ReviewReward.Of("superb.")));
        Assert.That(ReviewReward.Of(""), Is.EqualTo(0.5));
        Assert.That(ReviewReward.Of(" . !? ..."), Is.EqualTo(0.5));
    }

    [Test]
    public void NoTextIsWorthMoreThanTheBestReview()
    {
        const string best = " the plot was brilliant, and the music felt warm. i cheered more than once. it deserves every prize.";
        Assert.That(World.Reviews.Accepts("i saw iron harbor at home today.", best));
        Assert.That(ReviewReward.Of(best), Is.EqualTo(ReviewReward.Best));

        var words = ReviewWorldRules.Valence.Keys.Concat(ReviewWorldRules.Degree.Keys).Concat(["not", "never", ".", ",", "plot"]);
        var junk = Gen.Elements(words).ListOf().Select(words => string.Join(' ', words));
        Prop.ForAll(junk.Select(ReviewReward.Of).ToArbitrary(), reward => reward <= ReviewReward.Best && reward >= ReviewReward.Worst)
            .QuickCheckThrowOnFailure();
    }

    [Test]
    public void AnyTextHasARewardAndAnAnswer() =>
        Prop.ForAll<string?>(text =>
        {
            var reward = ReviewReward.Of(text ?? "");
            return reward > 0 && reward < 1 && !World.Reviews.Accepts(text ?? "", text ?? "");
        }).QuickCheckThrowOnFailure();

    [Test]
    public void PreferencesFollowBradleyTerry() =>
        Assert.That(World.PreferenceProbability(0.6, 0.5), Is.EqualTo(1 / (1 + Math.Exp(-0.8))).Within(1e-12));
}
