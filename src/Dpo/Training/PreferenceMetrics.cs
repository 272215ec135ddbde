namespace TinyDpo.Dpo;

/// <summary>The metrics of preference pairs, under the names that TRL logs, and the spread of their weights.</summary>
/// <param name="beta">Turns log-ratios into implicit rewards: r(x, y) = beta log(pi(y | x) / pi_ref(y | x)), up to a function of x.</param>
public sealed class PreferenceMetrics(double beta)
{
    private readonly List<double> _weights = [];
    private (double Reward, double LogProb, int Count) _chosen, _rejected;
    private int _right;

    /// <summary>Rows with both completions.</summary>
    public int Pairs { get; private set; }

    /// <summary>Share of pairs whose chosen completion has the larger implicit reward; a tie does not count.</summary>
    public double Accuracy => (double)_right / Pairs;

    public void Add(PairLogProbs policy, PairLogProbs reference, PairLengths? lengths = null) =>
        Add(policy.Chosen.ToArray(), policy.Rejected.ToArray(), reference.Chosen.ToArray(), reference.Rejected.ToArray(), lengths);

    /// <param name="lengths">Say which completions an unpaired row lacks; null where all are there.</param>
    public void Add(
        ReadOnlySpan<Real> chosen, ReadOnlySpan<Real> rejected, ReadOnlySpan<Real> referenceChosen, ReadOnlySpan<Real> referenceRejected,
        PairLengths? lengths = null)
    {
        for (var i = 0; i < chosen.Length; i++)
        {
            var chosenReward = beta * ((double)chosen[i] - referenceChosen[i]);
            var rejectedReward = beta * ((double)rejected[i] - referenceRejected[i]);
            var (hasChosen, hasRejected) = (lengths?.Chosen[i] != 0, lengths?.Rejected[i] != 0);
            _chosen = hasChosen ? (_chosen.Reward + chosenReward, _chosen.LogProb + chosen[i], _chosen.Count + 1) : _chosen;
            _rejected = hasRejected ? (_rejected.Reward + rejectedReward, _rejected.LogProb + rejected[i], _rejected.Count + 1) : _rejected;
            if (hasChosen && hasRejected)
            {
                _right += chosenReward > rejectedReward ? 1 : 0;
                _weights.Add(WeightQuantiles.Weight(beta, chosenReward - rejectedReward));
                Pairs++;
            }
        }
    }

    /// <summary>Means over the completions at hand; what there is nothing of is left out.</summary>
    public IEnumerable<(string Name, double Value)> Means()
    {
        var (hasChosen, hasRejected) = (_chosen.Count > 0, _rejected.Count > 0);
        return
        [
            .. hasChosen ? [("rewards/chosen", _chosen.Reward / _chosen.Count)] : None,
            .. hasRejected ? [("rewards/rejected", _rejected.Reward / _rejected.Count)] : None,
            .. hasChosen && hasRejected ? [("rewards/margins", (_chosen.Reward / _chosen.Count) - (_rejected.Reward / _rejected.Count))] : None,
            .. Pairs > 0 ? [("rewards/accuracies", Accuracy)] : None,
            .. hasChosen ? [("logps/chosen", _chosen.LogProb / _chosen.Count)] : None,
            .. hasRejected ? [("logps/rejected", _rejected.LogProb / _rejected.Count)] : None,
            .. Pairs > 0 ? WeightQuantiles.Of(_weights) : None,
        ];
    }

    /// <summary>The histogram of the pairs' weights; nothing where every row is unpaired.</summary>
    public IEnumerable<(string Name, double Value)> Weights() => Pairs > 0 ? WeightHistogram.Of(_weights, beta) : None;

    private static IEnumerable<(string Name, double Value)> None => [];
}
