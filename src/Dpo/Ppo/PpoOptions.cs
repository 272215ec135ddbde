namespace TinyDpo.Dpo;

/// <summary>Where advantages come from.</summary>
public enum AdvantageEstimator
{
    /// <summary>Generalized advantage estimation with a value function (Schulman et al. 2015).</summary>
    Generalized,

    /// <summary>RLOO: a completion's return less the mean of the prompt's other completions (Ahmadian et al. 2024); no value function.</summary>
    LeaveOneOut,
}

/// <summary>How reinforcement learning from a reward goes; the defaults are for a small model.</summary>
public sealed record PpoOptions
{
    /// <summary>Rounds of sampling and learning.</summary>
    public int Iterations { get; init; } = 40;

    /// <summary>Completions sampled an iteration.</summary>
    public int Rollouts { get; init; } = 256;

    /// <summary>Completions of one prompt among them; at least 2 for <see cref="AdvantageEstimator.LeaveOneOut"/>.</summary>
    public int SamplesPerPrompt { get; init; } = 1;

    /// <summary>Passes over an iteration's completions.</summary>
    public int Epochs { get; init; } = 4;

    /// <summary>Completions a step of the optimiser.</summary>
    public int MiniBatchSize { get; init; } = 64;

    public AdvantageEstimator Estimator { get; init; } = AdvantageEstimator.Generalized;

    /// <summary>Epsilon of the clipped objective: how far a token's probability ratio is rewarded to leave 1.</summary>
    public double ClipRange { get; init; } = 0.2;

    /// <summary>Gamma: what a reward one token later is worth.</summary>
    public double Discount { get; init; } = 1;

    /// <summary>Lambda of generalized advantage estimation: 0 trusts the value function, 1 the sampled return.</summary>
    public double Lambda { get; init; } = 0.95;

    /// <summary>Weight of the KL penalty, per nat; the first one where there is a target.</summary>
    public double KlCoefficient { get; init; } = 0.05;

    /// <summary>The KL to the reference, in nats a sequence, that the coefficient is steered to; null for a fixed coefficient.</summary>
    public double? TargetKl { get; init; }

    /// <summary>Gain of the steering: see <see cref="KlController"/>.</summary>
    public double KlGain { get; init; } = 0.1;

    /// <summary>Divides rewards by their standard deviation over the iteration's tokens (Ziegler et al. 2019), which keeps their sign.</summary>
    public bool WhitenRewards { get; init; } = true;

    /// <summary>Gives advantages mean 0 and standard deviation 1 over the iteration's tokens.</summary>
    public bool WhitenAdvantages { get; init; } = true;

    /// <summary>Weight of the entropy of the next token's distribution, for each token.</summary>
    public double EntropyCoefficient { get; init; }

    public double LearningRate { get; init; } = 3e-4;

    public double ValueLearningRate { get; init; } = 1e-3;

    /// <summary>Clips both gradients to this global norm; 0 for no clipping.</summary>
    public double MaxGradNorm { get; init; } = 1;

    /// <summary>The longest completion, in tokens.</summary>
    public int MaxTokens { get; init; } = 64;

    public ulong Seed { get; init; }

    /// <summary>The most tokens run at a time; mini-batches are cut into micro-batches.</summary>
    public int TokenBudget { get; init; } = SftTask.DefaultTokenBudget;
}
