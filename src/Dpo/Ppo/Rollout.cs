namespace TinyDpo.Dpo;

/// <summary>A completion that the policy sampled, and what was found of it then.</summary>
/// <param name="Prompt">Token ids.</param>
/// <param name="Completion">Token ids, the end token included where one was drawn.</param>
/// <param name="Score">Its reward, without the KL penalty.</param>
/// <param name="LogProbs">log pi_old of each completion token, [tokens].</param>
/// <param name="ReferenceLogProbs">log pi_ref of each, [tokens].</param>
/// <param name="Values">V of what stands before each, [tokens]; zeros where there is no value function.</param>
public sealed record Rollout(int[] Prompt, int[] Completion, double Score, double[] LogProbs, double[] ReferenceLogProbs, double[] Values)
{
    /// <summary>log(pi_old / pi_ref) of the completion, whose mean over samples estimates the KL in nats a sequence.</summary>
    public double LogRatio => LogProbs.Sum() - ReferenceLogProbs.Sum();

    /// <summary>
    /// What each token earns: -coefficient log(pi_old / pi_ref), and the last one the score too (Ziegler et al. 2019, equation 2): [tokens].
    /// </summary>
    public double[] Rewards(double coefficient)
    {
        double[] rewards = [.. LogProbs.Zip(ReferenceLogProbs, (old, reference) => -coefficient * (old - reference))];
        rewards[^1] += Score;
        return rewards;
    }
}
