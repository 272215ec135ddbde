using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Tests;

public class RewardTests
{
    private static LexiconReward Lexicon(TemporaryFolder folder, string text)
    {
        File.WriteAllText(folder.File("lexicon.txt"), text);
        return LexiconReward.Read(folder.File("lexicon.txt"));
    }

    private static double Normalised(double s) => s / Math.Sqrt((s * s) + 15);

    [TestCase("", 0)]
    [TestCase("Good, GOOD 'good'!", 6)]
    [TestCase("a bad idea", -3)]
    [TestCase("bad :) end", -1)] // the token as it stands
    [TestCase("(:)", 0)] // no more than the ends is taken off
    [TestCase("mid-good", 0)]
    [TestCase("twice", 1)] // the last line of a token counts
    [TestCase(":D", 4)]
    public void SumsTheValencesOfWords(string continuation, double sum)
    {
        using var folder = new TemporaryFolder();
        var reward = Lexicon(folder, "good\t2\t0.5\t[2, 2]\nbad\t-3\n:)\t2\n:D\t4\n\ntwice\t3\r\ntwice\t1\n");
        Assert.That(reward.Score("bad bad bad", continuation), Is.EqualTo(Normalised(sum)).Within(1e-15));
    }

    [TestCase("good\t1\nbad", "line 2")]
    [TestCase("good\tone", "line 1")]
    [TestCase("good\tNaN", "line 1")]
    [TestCase("\t1", "line 1")]
    [TestCase("\n", "no token")]
    public void BadLexiconsAreRefusedWithTheirLine(string text, string expected)
    {
        using var folder = new TemporaryFolder();
        Assert.That(() => Lexicon(folder, text),
            Throws.TypeOf<InputException>().With.Message.Contains(expected).And.Message.Contains("lexicon.txt"));
    }

    [Test]
    public void RewardsAreNamed()
    {
        using var folder = new TemporaryFolder();
        using var backend = new CpuBackend(1);
        Lexicon(folder, "good\t2");
        Assert.That(RewardSpec.Parse("world", backend).Score("superb", " the plot was dull."),
            Is.EqualTo(ReviewReward.Of(" the plot was dull.")));
        Assert.That(RewardSpec.Parse($"lexicon:{folder.File("lexicon.txt")}", backend).Score("", "good"), Is.EqualTo(Normalised(2)));
        foreach (var unknown in (string[])["", "World", "world:", "world:news", "lexicon", "lexicon:", "lexicon:/nowhere/at/all", "model:", "model:/nowhere/at/all"])
        {
            Assert.That(() => RewardSpec.Parse(unknown, backend), Throws.TypeOf<InputException>(), unknown);
        }
    }

    [Test]
    public void ReadsTheLexiconOfVader()
    {
        var reward = LexiconReward.Read(Repository.Shared("data/sentiment/vader_lexicon.txt"));
        Assert.That(reward.Score("", "A great film."), Is.EqualTo(Normalised(3.1)).Within(1e-12));
        Assert.That(reward.Score("", "Horrible!"), Is.EqualTo(Normalised(-2.5)).Within(1e-12));
    }
}
