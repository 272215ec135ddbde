using TinyDpo.Kernels;

namespace TinyDpo.Dpo;

/// <summary>
/// A loss and its derivative along the margin u = beta ((chosen - reference) - (rejected - reference)) of one pair, computed by the loss
/// itself. Chosen rises and rejected falls by u / (2 beta) from the reference's log-prob.
/// </summary>
/// <param name="Name">The loss's name in <see cref="LossCatalog"/>.</param>
/// <param name="Beta">Its default beta.</param>
/// <param name="Values">(margin, loss).</param>
/// <param name="Slopes">(margin, derivative of the loss by the margin).</param>
public sealed record LossCurve(string Name, double Beta, IReadOnlyList<(double X, double Y)> Values, IReadOnlyList<(double X, double Y)> Slopes)
{
    /// <summary>Tokens of each completion.</summary>
    public const int Tokens = 20;

    /// <summary>The reference's log-prob of each completion.</summary>
    public const double ReferenceLogProb = -40;

    private const int Points = 33;
    private const double Range = 4;

    /// <summary>All losses of the catalogue at their defaults, but those that need completions of other pairs.</summary>
    public static IReadOnlyList<LossCurve> All(IBackend backend) =>
    [
        .. LossCatalog.Names.Select(static name => (Name: name, Loss: LossCatalog.Create(name, new LossSettings())))
            .Where(static l => !l.Loss.Inputs.HasFlag(LossInputs.Mismatched))
            .Select(l => Of(backend, l.Name, l.Loss)),
    ];

    private static LossCurve Of(IBackend backend, string name, IPreferenceLoss loss)
    {
        double[] margins = [.. Enumerable.Range(0, Points).Select(static i => (2 * Range * i / (Points - 1)) - Range)];
        // A point is a batch of its own, since some losses compare the pairs of a batch.
        var scores = margins.Select(u => At(backend, loss, u)).ToList();
        return new LossCurve(
            name, loss.Beta, [.. margins.Zip(scores, static (u, s) => (u, s.Loss))],
            [.. margins.Zip(scores, (u, s) => (u, (s.LossByChosenLogProb - s.LossByRejectedLogProb) / (2 * loss.Beta)))]);
    }

    private static PairScore At(IBackend backend, IPreferenceLoss loss, double margin)
    {
        var shift = margin / (2 * loss.Beta);
        var policy = new ReferenceLogProbs([(Real)(ReferenceLogProb + shift)], [(Real)(ReferenceLogProb - shift)]) { Prompts = [(Real)ReferenceLogProb] };
        var reference = new ReferenceLogProbs([(Real)ReferenceLogProb], [(Real)ReferenceLogProb]);
        return ScoreRun.Score(backend, loss, policy, reference, new PairLengths([Tokens], [Tokens], [Tokens])).Single();
    }
}
