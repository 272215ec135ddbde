using TinyDpo.Dpo;

namespace TinyDpo.Tests;

public class StepFlopsTests
{
    /// <summary>
    /// By hand, for one pair of a prompt of 3 with completions of 2 and 1: tokens 3 + 1 + 0, predicting 1 + 1 + 0, visible pairs
    /// 6 + (3 + 1) + 0. Two layers of hidden 24, 4 query and 2 key/value heads of 6, MLP 51, vocabulary 29.
    /// </summary>
    [Test]
    public void CountsWhatAPairNeeds()
    {
        var pair = new PreferencePair(1, [1, 2, 3], [4, 5], [6]);
        const long keysAndValues = 2 * 24 * 12, rest = (2 * 24 * 24) + (3 * 24 * 51);
        const long linear = (2 * 4 * keysAndValues) + ((4 + 2) * rest);

        Assert.That(StepFlops.Needed(TinyModels.Config(), [pair]), Is.EqualTo((6 * linear) + (6 * 29 * 24 * 2) + (12 * 24 * 10 * 2)));
    }

    /// <summary>A completion's last token predicts nothing, so that one of a single token needs as much as none: what an unpaired row has.</summary>
    [Test]
    public void ACompletionThatIsNotThereNeedsNothing()
    {
        var config = TinyModels.Config();
        Assert.That(
            StepFlops.Needed(config, [new PreferencePair(1, [1, 2, 3], [4, 5, 6], [])]),
            Is.EqualTo(StepFlops.Needed(config, [new PreferencePair(1, [1, 2, 3], [4, 5, 6], [7])])));
    }
}
