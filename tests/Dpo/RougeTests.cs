using TinyDpo.Dpo;

namespace TinyDpo.Tests;

/// <summary>ROUGE against what is counted by hand.</summary>
internal sealed class RougeTests
{
    // Lin 2004, section 3: both candidates share three of four words with the first reference, and only the first has them in its order.
    [TestCase("police kill the gunman", "police killed the gunman", 0.75, 0.75, 0.75)]
    [TestCase("the gunman kill police", "police killed the gunman", 0.75, 0.75, 0.5)]
    [TestCase("The cat, the cat; the DOG!", "the cat sat", 2.0 / 6, 2.0 / 3, 4.0 / 9)]
    [TestCase("a b c d e", "e d c b a", 1, 1, 0.2)]
    [TestCase("x a y b z", "a b", 0.4, 1, 4.0 / 7)]
    [TestCase("a b", "a a a", 0.5, 1.0 / 3, 0.4)]
    [TestCase("3-step Übung", "3 step übung", 1, 1, 1)]
    [TestCase("one", "two", 0, 0, 0)]
    [TestCase("", "a", 0, 0, 0)]
    [TestCase("a", " ... ", 0, 0, 0)]
    public void CountedByHand(string answer, string reference, double precision, double recall, double longest)
    {
        var one = Rouge.One(answer, reference);
        Assert.That(one.Precision, Is.EqualTo(precision).Within(1e-12));
        Assert.That(one.Recall, Is.EqualTo(recall).Within(1e-12));
        Assert.That(Rouge.L(answer, reference).F, Is.EqualTo(longest).Within(1e-12));
        var turned = Rouge.One(reference, answer);
        Assert.That((turned.Precision, turned.Recall), Is.EqualTo((one.Recall, one.Precision)));
        Assert.That(Rouge.L(reference, answer).F, Is.EqualTo(longest).Within(1e-12));
    }

    [Test]
    public void TheRewardIsTheBestOverAPromptsReferences()
    {
        var reward = new RougeReward("rouge-l", Rouge.L, [("p", ["a b c d", "x y"]), ("q", ["x y"]), ("p", ["u v"])]);
        Assert.That(reward.Score("p", "a b"), Is.EqualTo(2.0 / 3).Within(1e-12));
        Assert.That(reward.Score("p", "x y"), Is.EqualTo(1));
        Assert.That(reward.Score("p", "u v"), Is.EqualTo(1), "a prompt that is there twice");
        Assert.That(reward.Score("q", "a b"), Is.Zero);
        Assert.That(() => reward.Score("r", "a"), Throws.ArgumentException);
    }
}
