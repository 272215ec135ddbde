namespace TinyDpo.Dpo;

/// <summary>How well a judge's margins do on pairs whose label probabilities are known.</summary>
/// <param name="Accuracy">Mean probability that the annotator prefers what the judge prefers; a tie counts 1/2. No label's luck is in it.</param>
/// <param name="Loss">Mean -log sigmoid(margin) of the drawn labels.</param>
/// <param name="CalibrationError">See <see cref="RewardEvaluation"/>.</param>
internal sealed record RewardJudgement(double Accuracy, double Loss, double CalibrationError)
{
    /// <param name="margins">r(x, y_w) - r(x, y_l) of each pair.</param>
    /// <param name="labelProbabilities">The probability that the annotator prefers y_w.</param>
    public static RewardJudgement Of(double[] margins, double[] labelProbabilities)
    {
        var measured = RewardEvaluation.OfMargins(margins);
        var accuracy = margins.Zip(labelProbabilities, static (m, p) => m > 0 ? p : m < 0 ? 1 - p : 0.5).Average();
        return new RewardJudgement(accuracy, measured.Loss, measured.CalibrationError);
    }
}

/// <summary>A point of the learning curve: a reward model, and DPO's implicit reward, from the same pairs on the same held-out ones.</summary>
/// <param name="LearnedEpoch">The epoch, from 1, whose weights the reward model keeps.</param>
internal sealed record RewardCurvePoint(
    int Pairs, int HeldOut, double BayesAccuracy, RewardJudgement Learned, int LearnedEpoch, RewardJudgement Implicit);
