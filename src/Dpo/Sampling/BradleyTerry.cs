namespace TinyDpo.Dpo;

/// <summary>The model of preferences that DPO assumes (Bradley and Terry 1952; the paper's equation 1).</summary>
public static class BradleyTerry
{
    /// <summary>P(a is preferred to b) = sigmoid(scale (r_a - r_b)).</summary>
    public static double Probability(double scale, double rewardA, double rewardB) => 1 / (1 + Math.Exp(-scale * (rewardA - rewardB)));
}
