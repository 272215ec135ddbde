namespace TinyDpo.Dpo;

/// <summary>
/// The coefficient of the KL penalty: fixed, or steered to a target by a proportional controller in log space (Ziegler et al. 2019,
/// "Fine-tuning language models from human preferences", section 2.2).
/// </summary>
/// <param name="coefficient">The first coefficient, above 0 where there is a target.</param>
/// <param name="target">KL in nats a sequence; null to leave the coefficient as it is.</param>
/// <param name="gain">K_beta: an error of 1/5 of the target or more changes the coefficient by a factor of 1 +- gain / 5.</param>
public sealed class KlController(double coefficient, double? target, double gain)
{
    private const double MostError = 0.2;

    public double Coefficient { get; private set; } = coefficient;

    /// <param name="kl">The KL that was seen.</param>
    public void Update(double kl)
    {
        if (target is { } wanted)
        {
            Coefficient *= 1 + (gain * Math.Clamp((kl - wanted) / wanted, -MostError, MostError));
        }
    }
}
