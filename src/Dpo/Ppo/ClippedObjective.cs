using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Dpo;

/// <summary>The clipped surrogate objective of PPO (Schulman et al. 2017, "Proximal policy optimization algorithms", equation 7).</summary>
public static class ClippedObjective
{
    /// <summary>
    /// min(ratio A, clip(ratio, 1 - epsilon, 1 + epsilon) A) of each token, to be maximised, with ratio = pi(token) / pi_old(token): [tokens].
    /// </summary>
    /// <param name="logProbs">log pi of each token, [tokens].</param>
    /// <param name="oldLogProbs">log pi_old of the policy that sampled it, [tokens].</param>
    /// <param name="advantages">A, [tokens].</param>
    /// <param name="epsilon">The clip range.</param>
    public static Tensor PerToken(Tensor logProbs, Tensor oldLogProbs, Tensor advantages, double epsilon)
    {
        var ratio = Exp(logProbs - oldLogProbs);
        return Minimum(ratio * advantages, Clip(ratio, 1 - epsilon, 1 + epsilon) * advantages);
    }

    private static Tensor Minimum(Tensor a, Tensor b) => a - Relu(a - b);

    private static Tensor Clip(Tensor x, double low, double high) => Relu(x - low) - Relu(x - high) + low;
}
