using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Dpo;

/// <summary>
/// KTO (Ethayarajh et al. 2024, equation 7) over a batch whose chosen completions are the desirable and whose rejected are the undesirable
/// examples: weight (1 - sigmoid(beta (log-ratio - z))) of the first, weight (1 - sigmoid(beta (z - log-ratio))) of the second, the mean
/// over both. z = max(0, the mean log-ratio of mismatched completions in the batch) estimates KL(pi || pi_ref) and gets no gradient.
/// </summary>
/// <param name="Beta">Strength of the pull to the reference, above 0.</param>
/// <param name="DesirableWeight">The paper's lambda_D.</param>
/// <param name="UndesirableWeight">The paper's lambda_U.</param>
public sealed record KtoLoss(double Beta = 0.1, double DesirableWeight = 1, double UndesirableWeight = 1) : IPreferenceLoss
{
    public double Beta { get; } = Beta > 0 ? Beta : throw new ArgumentOutOfRangeException(nameof(Beta), Beta, "must be above 0");

    public double? AtReference => (DesirableWeight + UndesirableWeight) / 4;

    public LossInputs Inputs => LossInputs.Mismatched | LossInputs.WholeBatch;

    public Tensor PerPair(PreferenceBatch batch)
    {
        var (chosen, rejected) = batch.LogRatios;
        var z = Divergence(batch);
        return (DesirableWeight / 2 * Sigmoid(-Beta * (chosen - z))) + (UndesirableWeight / 2 * Sigmoid(-Beta * (z - rejected)));
    }

    private static double Divergence(PreferenceBatch batch)
    {
        var (chosen, rejected) = PreferenceBatch.Required(batch.MismatchedRatios, "mismatched completions");
        return Math.Max(0, chosen.ToArray().Concat(rejected.ToArray()).Select(static x => (double)x).Average());
    }
}
