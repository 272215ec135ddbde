namespace TinyDpo.Dpo;

/// <summary>Rankings of K answers: appendix A.3.</summary>
internal static class PlackettLuceClaims
{
    public const string Two = "Plackett-Luce with K = 2 is DPO's loss of a pair";
    public const string Total = "Plackett-Luce: the 24 rankings of 4 answers have probabilities that sum to 1";
    public const string Pairwise = "Plackett-Luce: of 4 ranked answers two stand as Bradley-Terry says";
    public const string Rankings = "Plackett-Luce: rankings under pi* are those under the reward";
    public const string Slope = "Plackett-Luce, K = 3: the gradient of the expected loss is its slope";
    public const string Minimum = "Plackett-Luce, K = 3: DPO's minimum is pi*: KL(pi || pi*)";

    private const int SetsOfFour = 100;

    public static IEnumerable<Claim> Check(TheoryCase c)
    {
        var fours = Sets(c, 4, SetsOfFour).ToArray();
        int[][] triples =
        [
            .. Enumerable.Range(0, c.Count).Select(i => (int[])[i, (i + 1) % c.Count, (i + 2) % c.Count]), .. Sets(c, 3, 3 * c.Count),
        ];
        yield return new(Two, "A.3, eq. 18, 7", c.Worst(x => PairError(c, x)), TheoryCase.Exact);
        yield return new(Total, "A.3, eq. 18", c.Worst(x => fours.Max(set => Math.Abs(
            PlackettLuce.Orders(4).Sum(order => Ranking(x.Reward, set, order)) - 1))), TheoryCase.Exact);
        yield return new(Pairwise, "A.3, eq. 18, 1", c.Worst(x => fours.Max(set => Math.Abs(
            PlackettLuce.Orders(4).Where(static order => Array.IndexOf(order, 0) < Array.IndexOf(order, 3)).Sum(order => Ranking(x.Reward, set, order))
            - x.Preference(set[0], set[3])))), TheoryCase.Exact);
        yield return new(Rankings, "A.3, eq. 19", c.Worst(x =>
        {
            var rewards = c.Loss.Rewards(x.Optimal, x.Reference, c.World.Lengths);
            return fours.Max(set => PlackettLuce.Orders(4).Max(order => Math.Abs(Ranking(rewards, set, order) - Ranking(x.Reward, set, order))));
        }), TheoryCase.Exact);
        yield return new(Slope, "A.3, eq. 20", c.Worst(x =>
        {
            var loss = new ExpectedRankingLoss(x, c.World.Lengths, c.Loss, triples);
            var policy = c.SomePolicy(x);
            var gradient = loss.Derivatives(policy).Gradient;
            return c.Directions(2).Max(d => Math.Abs(
                LogProbs.Dot(gradient, d) - TheoryCase.Slope(h => loss.Value(LogProbs.Add(policy, h, d)), 1e-3 / Math.Max(1, c.Beta))) / Math.Max(1, c.Beta));
        }), TheoryCase.Difference);
        yield return new(Minimum, "A.3, eq. 20, 4", c.Worst(x => LogProbs.Kl(
            LogProbs.Normalise(Newton.Minimise(
                new ExpectedRankingLoss(x, c.World.Lengths, c.Loss, triples), x.Reference, [.. Enumerable.Range(0, c.Count)], c.Cancellation)),
            x.Optimal)), 1e-6);
    }

    private static double PairError(TheoryCase c, TheoryPrompt x)
    {
        var policy = c.SomePolicy(x);
        double[] rewards = [.. policy.Zip(x.Reference, (p, q) => c.Beta * (p - q))];
        var lossRewards = c.Loss.Rewards(policy, x.Reference, c.World.Lengths);
        return LogProbs.Largest(c.Count * c.Count, k => (k / c.Count, k % c.Count) is var (i, j)
            ? c.Loss.At(lossRewards[i] - lossRewards[j]).Value + PlackettLuce.LogProbability([rewards[i], rewards[j]])
            : 0);
    }

    private static double Ranking(double[] scores, int[] set, int[] order) =>
        Math.Exp(PlackettLuce.LogProbability([.. order.Select(k => scores[set[k]])]));

    // Different answers each, drawn evenly.
    private static IEnumerable<int[]> Sets(TheoryCase c, int size, int count)
    {
        for (var set = 0; set < count; set++)
        {
            var members = new List<int>();
            for (var position = 0; members.Count < size; position++)
            {
                var i = (int)(c.World.Uniform(TheoryDraw.AnswerSet, (size * 10_000) + set, position) * c.Count);
                if (!members.Contains(i))
                {
                    members.Add(i);
                }
            }
            yield return [.. members];
        }
    }
}
