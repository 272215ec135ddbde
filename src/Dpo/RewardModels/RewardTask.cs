using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>
/// Reward modelling (Rafailov et al. 2023, equation 2; Ouyang et al. 2022): the mean <see cref="RankingLoss"/> of the model's scores over
/// ranked completions, of pairs Bradley-Terry's.
/// </summary>
/// <param name="model">A transformer with a scalar head.</param>
/// <param name="rankings">Prompts with the same number of completions each, the best first.</param>
/// <param name="tokenBudget">The most tokens of a micro-batch.</param>
public sealed class RewardTask(Transformer model, IReadOnlyList<PromptGroup> rankings, int tokenBudget = SftTask.DefaultTokenBudget) : ITrainingTask
{
    public int Examples => rankings.Count;

    public int Tokens(int example) => rankings[example].Tokens();

    /// <summary>Pairs as rankings of two.</summary>
    public static IReadOnlyList<PromptGroup> Rankings(IReadOnlyList<PreferencePair> pairs) =>
        new MappedList<PromptGroup>(pairs.Count, i => pairs[i].ToGroup());

    public BatchResult Accumulate(IReadOnlyList<int> batch)
    {
        double loss = 0;
        var metrics = new ScoreMetrics();
        PromptGroup[] all = [.. batch.Select(i => rankings[i])];
        foreach (var (_, micro) in MicroBatches.Of(all, RewardScores.Tokens, tokenBudget))
        {
            using var step = new StepScope(model.Backend);
            var scores = RewardScores.Of(model, micro);
            var share = RankingLoss.PerRanking(scores).Sum() / batch.Count;
            loss += share.Item();
            metrics.Add(scores[0].ToArray(), scores[^1].ToArray());
            share.Backward();
        }
        return new BatchResult([("loss", loss), .. metrics.Means()], all.Sum(RewardScores.Tokens));
    }

    /// <summary>The scores of the best and the worst completion, under the names that preference losses log their implicit rewards by.</summary>
    private sealed class ScoreMetrics
    {
        private double _best, _worst, _ordered;
        private int _count;

        public void Add(Real[] best, Real[] worst)
        {
            for (var i = 0; i < best.Length; i++)
            {
                _best += best[i];
                _worst += worst[i];
                _ordered += best[i] > worst[i] ? 1 : 0;
                _count++;
            }
        }

        public IEnumerable<(string Name, double Value)> Means() =>
        [
            ("rewards/chosen", _best / _count),
            ("rewards/rejected", _worst / _count),
            ("rewards/margins", (_best - _worst) / _count),
            ("rewards/accuracies", _ordered / _count),
        ];
    }
}
