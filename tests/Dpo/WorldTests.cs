using FsCheck;
using FsCheck.Fluent;
using TinyDpo.Dpo;

namespace TinyDpo.Tests;

/// <summary>What holds in every world, and the true rewards of texts that can be reckoned by hand.</summary>
internal sealed class WorldTests
{
    private const string Report = "the baker sold the mill. it happened in dover. it was on monday. anna saw it all. in short,";
    private const string Question = "how do i clean my old kettle?";

    private static readonly string[] s_names = [.. World.All.Select(static world => world.Name)];

    [TestCaseSource(nameof(s_names))]
    public void TheWriterIsGrammaticalAndEachSplitHasItsOwnPrefixes(string name)
    {
        var world = Named(name);
        Prop.ForAll<ulong, NonNegativeInt>((seed, index) => Enum.GetValues<PrefixSplit>().All(split =>
        {
            var (prefix, continuation) = world.Sample(seed, index.Get, split);
            return world.Accepts(prefix, continuation) && World.SplitOf(prefix) == split && !world.Accepts(prefix, continuation + " again")
                && world.SampleText(seed, index.Get, split) == prefix + continuation && world.Reward(prefix, continuation) is >= 0 and <= 1;
        })).QuickCheckThrowOnFailure();
    }

    /// <summary>Room for an annotator to see differences, and for a policy to be better than the writer.</summary>
    [TestCaseSource(nameof(s_names))]
    public void TheWritersRewardsLieApartAndTheBestJudgeIsNeitherPerfectNorBlind(string name)
    {
        var world = Named(name);
        var pairs = Enumerable.Range(0, 4000).Select(i => world.SamplePrefix(1, i))
            .Select((prefix, i) => (A: world.Reward(prefix, world.SampleContinuation(prefix, 1, 2 * i)), B: world.Reward(prefix, world.SampleContinuation(prefix, 1, (2 * i) + 1)))).ToList();
        Assert.That(pairs.Average(static p => p.A), Is.InRange(0.4, 0.65));
        Assert.That(Statistics.StandardDeviation([.. pairs.Select(static p => p.A)]), Is.InRange(0.1, 0.3));
        Assert.That(WorldPipeline.BayesAccuracy(pairs.Select(static p => World.PreferenceProbability(p.A, p.B))), Is.InRange(0.7, 0.88));
    }

    [TestCaseSource(nameof(s_names))]
    public void PrefixesAreMany(string name)
    {
        var world = Named(name);
        Assert.That(Enumerable.Range(0, 1000).Select(i => world.SamplePrefix(1, i, PrefixSplit.HeldOut)).Distinct().Count(), Is.GreaterThan(500));
        Assert.That(Enumerable.Range(0, 4000).Count(i => World.SplitOf(world.SampleText(1, i)) == PrefixSplit.HeldOut), Is.EqualTo(500).Within(80), "one in eight");
    }

    [TestCaseSource(nameof(s_names))]
    public void AnyTextHasAReward(string name) => Prop.ForAll<string?, string?>((prefix, text) =>
        Named(name).Reward(prefix ?? "", text ?? "") is >= 0 and <= 1 && !Named(name).Accepts(prefix ?? "", text ?? "")).QuickCheckThrowOnFailure();

    [Test]
    public void ARewardIsNamedByItsWorld()
    {
        Assert.That(World.All.Select(static world => new WorldReward(world).Name), Is.EqualTo(new[] { "world", "world:summaries", "world:dialogue" }));
        Assert.That(World.All.Select(static world => new WorldReward(world).Name).All(RewardSpec.IsKnown));
        Assert.That(RewardSpec.IsKnown("world:news"), Is.False);
    }

    /// <summary>The report's facts are worth 1.5 three times, 1, 0.5 and 0.25: 6.25 in all; a word costs 0.025, a falsehood 0.2.</summary>
    [TestCase(" the baker sold the mill in dover on monday, says anna.", 6.25, 11, 0)]
    [TestCase(" the baker sold the mill in dover on monday.", 6, 9, 0)]
    [TestCase(" someone sold the mill.", 3, 4, 0)]
    [TestCase(" we read that the baker sold the mill in the city of dover.", 5.5, 13, 0)]
    [TestCase(" the baker sold the mill in lisbon.", 4.5, 7, 1)]
    [TestCase(" the baker sold the mill in dover in dover.", 5.5, 9, 0)] // each fact once
    [TestCase(" baker sold mill dover monday anna.", 1.5, 6, 0)] // a list is no statement
    [TestCase(" The BAKER sold it!", 3, 4, 0)]
    [TestCase("", 0, 0, 0)]
    [TestCase(" the pilot opened the clock.", 0, 5, 3)]
    public void ASummaryIsWorthItsCoverage(string summary, double stated, int words, int falsehoods) =>
        Assert.That(World.Summaries.Reward(Report, summary), Is.EqualTo(Math.Max(0, (stated / 6.25) - (0.025 * words) - (0.2 * falsehoods))).Within(1e-12));

    [Test]
    public void SummariesHaveAForm()
    {
        Assert.That(World.Summaries.AcceptsPrefix(Report));
        Assert.That(World.Summaries.Accepts(Report, " the baker sold the mill in dover on monday, says anna."));
        Assert.That(World.Summaries.Accepts(Report, " the pilot opened the clock in hail."), "what is false may be well said");
        foreach (var wrong in new[] { " the baker sold the mill on monday in dover.", " baker sold mill.", " the baker sold the mill in dover", "the baker sold the mill." })
        {
            Assert.That(World.Summaries.Accepts(Report, wrong), Is.False, wrong);
        }
    }

    /// <summary>The writer says nothing but what the report says.</summary>
    [Test]
    public void TheWriterOfSummariesIsTruthful()
    {
        for (var i = 0; i < 500; i++)
        {
            var (prefix, summary) = World.Summaries.Sample(3, i);
            string[] facts = [.. prefix.Split([' ', '.', ',']), .. "the in on for of says or so someone something we read that and it was all city".Split(' ')];
            Assert.That(summary[1..^1].Split([' ', ',', '.'], StringSplitOptions.RemoveEmptyEntries), Is.SubsetOf(facts), $"{prefix} {summary}");
        }
    }

    /// <summary>No word that is added to the best summary, left out of it or put in the place of another makes it worth more, nor do two such changes.</summary>
    [Test]
    public void NoChangeOfWordsBeatsTheBestSummary()
    {
        string[] best = ["the", "baker", "sold", "the", "mill", "in", "dover", "on", "monday"];
        string[] words = [.. (Report + " the in on says of for").Split([' ', '.', ','], StringSplitOptions.RemoveEmptyEntries).Distinct()];
        var most = Worth(best);
        Assert.That(Changed(best).SelectMany(Changed).Max(Worth), Is.EqualTo(most), "a word added and left out again");
        Assert.That(Changed(best).Where(changed => changed.Length != best.Length).Max(Worth), Is.LessThan(most));

        static double Worth(string[] summary) => World.Summaries.Reward(Report, " " + string.Join(' ', summary) + ".");

        IEnumerable<string[]> Changed(string[] summary) =>
        [
            .. Enumerable.Range(0, summary.Length).Select(i => (string[])[.. summary[..i], .. summary[(i + 1)..]]),
            .. Enumerable.Range(0, summary.Length).SelectMany(i => words.Select(word => (string[])[.. summary[..i], word, .. summary[(i + 1)..]])),
            .. Enumerable.Range(0, summary.Length + 1).SelectMany(i => words.Select(word => (string[])[.. summary[..i], word, .. summary[i..]])),
        ];
    }

    /// <summary>Vinegar is for what is of metal. Worth less 1, over 1.8, through the logistic function.</summary>
    [TestCase(" use vinegar on the kettle. be careful with the kettle.", 5)]
    [TestCase(" use vinegar.", 3)]
    [TestCase(" sure, use vinegar. then wait an hour.", 4)]
    [TestCase(" use soap.", -1.5)]
    [TestCase(" use vinegar soap.", 1.5)]
    [TestCase(" use vinegar on the spoon.", 2)]
    [TestCase(" use vinegar. be careful, and wait.", 4)] // one caution
    [TestCase(" use vinegar vinegar vinegar.", 3)]
    [TestCase(" i do not know.", -0.5)]
    [TestCase(" that is a silly question.", -3)]
    [TestCase(" use vinegar. but it never works.", 1.5)]
    [TestCase("", 0)]
    [TestCase(" thank you for asking, you could try vinegar on the kettle. be careful with the kettle.", 5 - 0.4)] // 16 words
    public void AnAnswerIsWorthItsHelp(string answer, double worth) =>
        Assert.That(World.Dialogue.Reward(Question, answer), Is.EqualTo(1 / (1 + Math.Exp((1 - worth) / 1.8))).Within(1e-12));

    [Test]
    public void WhatHelpsDependsOnTheQuestion()
    {
        Assert.That(World.Dialogue.Accepts(Question, " use vinegar on the kettle. be careful with the kettle."));
        Assert.That(World.Dialogue.Accepts(Question, " use vinegar on kettle."), Is.False);
        Assert.That(World.Dialogue.Reward("please help us clean the red shirt.", " use soap."), Is.EqualTo(World.Dialogue.Reward(Question, " use vinegar.")));
        Assert.That(World.Dialogue.Reward("my big shirt is here, how do we dry it?", " use sunlight."), Is.EqualTo(World.Dialogue.Reward(Question, " use vinegar.")));
        Assert.That(World.Dialogue.Reward("hello.", " use soap."), Is.LessThan(0.3), "without a question nothing helps");
    }

    private static World Named(string name) => World.All.Single(world => world.Name == name);
}
