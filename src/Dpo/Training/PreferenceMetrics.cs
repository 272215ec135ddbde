namespace TinyDpo.Dpo;

/// <summary>The metrics of preference pairs, under the names that TRL logs, and the quantiles of their weights.</summary>
/// <param name="beta">Turns log-ratios into implicit rewards: r(x, y) = beta log(pi(y | x) / pi_ref(y | x)), up to a function of x.</param>
public sealed class PreferenceMetrics(double beta)
{
    private readonly double[] _sums = new double[5];
    private readonly List<double> _weights = [];

    public int Pairs { get; private set; }

    /// <summary>Share of pairs whose chosen completion has the larger implicit reward; a tie does not count.</summary>
    public double Accuracy => _sums[2] / Pairs;

    public void Add(PairLogProbs policy, PairLogProbs reference) =>
        Add(policy.Chosen.ToArray(), policy.Rejected.ToArray(), reference.Chosen.ToArray(), reference.Rejected.ToArray());

    public void Add(ReadOnlySpan<Real> chosen, ReadOnlySpan<Real> rejected, ReadOnlySpan<Real> referenceChosen, ReadOnlySpan<Real> referenceRejected)
    {
        for (var i = 0; i < chosen.Length; i++)
        {
            var chosenReward = beta * ((double)chosen[i] - referenceChosen[i]);
            var rejectedReward = beta * ((double)rejected[i] - referenceRejected[i]);
            _sums[0] += chosenReward;
            _sums[1] += rejectedReward;
            _sums[2] += chosenReward > rejectedReward ? 1 : 0;
            _sums[3] += chosen[i];
            _sums[4] += rejected[i];
            _weights.Add(WeightQuantiles.Weight(beta, chosenReward - rejectedReward));
            Pairs++;
        }
    }

    public IEnumerable<(string Name, double Value)> Means() =>
    [
        ("rewards/chosen", _sums[0] / Pairs),
        ("rewards/rejected", _sums[1] / Pairs),
        ("rewards/margins", (_sums[0] - _sums[1]) / Pairs),
        ("rewards/accuracies", Accuracy),
        ("logps/chosen", _sums[3] / Pairs),
        ("logps/rejected", _sums[4] / Pairs),
        .. WeightQuantiles.Of(_weights),
    ];
}
