using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Dpo;

/// <summary>
/// KTO (Ethayarajh et al. 2024, equation 7) over a batch whose chosen completions are the desirable and whose rejected are the undesirable
/// examples: weight (1 - sigmoid(beta (log-ratio - z))) of the first, weight (1 - sigmoid(beta (z - log-ratio))) of the second, the mean
/// over a row's completions. z = max(0, the mean log-ratio of mismatched completions in the batch) estimates KL(pi || pi_ref) and gets no
/// gradient.
/// </summary>
/// <param name="Beta">Strength of the pull to the reference, above 0.</param>
/// <param name="DesirableWeight">The paper's lambda_D.</param>
/// <param name="UndesirableWeight">The paper's lambda_U.</param>
public sealed record KtoLoss(double Beta = 0.1, double DesirableWeight = 1, double UndesirableWeight = 1) : IPreferenceLoss
{
    public double Beta { get; } = Beta > 0 ? Beta : throw new ArgumentOutOfRangeException(nameof(Beta), Beta, "must be above 0");

    public double? AtReference => (DesirableWeight + UndesirableWeight) / 4;

    public bool TakesUnpaired => true;

    public LossInputs Inputs => LossInputs.Mismatched | LossInputs.WholeBatch;

    public Tensor PerPair(PreferenceBatch batch)
    {
        var (chosen, rejected) = batch.LogRatios;
        var z = Math.Max(0, PreferenceBatch.Required(batch.MismatchedRatios, "mismatched completions").Average());
        var (good, bad) = batch.CompletionShares(DesirableWeight, UndesirableWeight);
        return (good * Sigmoid(-Beta * (chosen - z))) + (bad * Sigmoid(-Beta * (z - rejected)));
    }
}
