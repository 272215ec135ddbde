namespace TinyDpo.Dpo;

/// <summary>A prompt of the small world: what the reference writes after it, what that is worth, and the optimal policy.</summary>
/// <param name="index">The prompt's number, from 0.</param>
/// <param name="tokens">The prompt, for a model that reads it.</param>
/// <param name="reference">log pi_ref(y | x) of every sequence.</param>
/// <param name="reward">r(x, y) of every sequence, the true one, by which pairs are judged.</param>
/// <param name="beta">Strength of the pull to the reference.</param>
public sealed class TheoryPrompt(int index, int[] tokens, double[] reference, double[] reward, double beta)
{
    public int Index => index;

    public int[] Tokens => tokens;

    public double[] Reference => reference;

    public double[] Reward => reward;

    public double Beta => beta;

    /// <summary>log Z(x), with Z(x) = sum over y of pi_ref(y | x) exp(r(x, y) / beta).</summary>
    public double LogZ { get; } = LogPartition(reference, reward, beta);

    /// <summary>log pi*(y | x) of every sequence: the paper's equation 4.</summary>
    public double[] Optimal { get; } = OptimalPolicy(reference, reward, beta);

    /// <summary>J(pi) = E_pi[r] - beta KL(pi || pi_ref), the paper's equation 3 at this prompt.</summary>
    public double Objective(double[] policy) => LogProbs.Mean(policy, reward) - (beta * LogProbs.Kl(policy, reference));

    /// <summary>The probability that y_i is preferred to y_j: Bradley-Terry under the reward, the paper's equation 1.</summary>
    public double Preference(int i, int j) => BradleyTerry.Probability(1, reward[i], reward[j]);

    public static double LogPartition(double[] reference, double[] reward, double beta) => LogProbs.LogSumExp(Tilt(reference, reward, beta));

    /// <summary>log of pi_ref(y) exp(r(y) / beta) / Z for every y.</summary>
    public static double[] OptimalPolicy(double[] reference, double[] reward, double beta)
    {
        var logZ = LogPartition(reference, reward, beta);
        return [.. Tilt(reference, reward, beta).Select(t => t - logZ)];
    }

    private static double[] Tilt(double[] reference, double[] reward, double beta) => [.. reference.Zip(reward, (q, r) => q + (r / beta))];
}
