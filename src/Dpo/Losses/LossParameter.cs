namespace TinyDpo.Dpo;

/// <summary>A number that some losses take; on the command line it is an option.</summary>
/// <param name="Name">The option without its dashes.</param>
/// <param name="Description">For --help, with the default.</param>
/// <param name="Allows">Whether a value is allowed.</param>
/// <param name="Range">What is allowed, in words after "a number".</param>
public sealed record LossParameter(string Name, string Description, Func<double, bool> Allows, string Range)
{
    public static LossParameter Beta { get; } =
        new("beta", "Strength of the pull to the reference; default: 0.1 (simpo and alphapo: 2).", static v => v is > 0 and <= 1e6, "above 0, at most 1000000");

    public static LossParameter LabelSmoothing { get; } =
        new("label-smoothing", "Probability that a label is wrong; default: 0 (exo_pair: 0.001).", static v => v is >= 0 and < 0.5, "from 0, below 0.5");

    public static LossParameter DivergenceAlpha { get; } =
        new("f-alpha", "alpha of --f-divergence alpha; default: 0.5.", static v => v is >= -10 and <= 10, "from -10 to 10");

    public static LossParameter DiscoPopTau { get; } = new("discopop-tau", "Temperature of discopop's blend; default: 0.05.", static v => v is > 0 and <= 1, "above 0, at most 1");

    public static LossParameter Gamma { get; } = new("simpo-gamma", "The margin of simpo and alphapo; default: 0.5.", static v => v is >= 0 and <= 1e6, "from 0 to 1000000");

    public static LossParameter AlphaPoAlpha { get; } =
        new("alphapo-alpha", "Shape of alphapo's reward; default: 0.25.", static v => v is not 0 and >= -10 and <= 10, "from -10 to 10, not 0");

    public static LossParameter CpoAlpha { get; } = new("cpo-alpha", "Weight of cpo's likelihood term; default: 1.", IsWeight, WeightRange);

    public static LossParameter DpopLambda { get; } = new("dpop-lambda", "Weight of dpop's penalty; default: 50.", IsWeight, WeightRange);

    public static LossParameter UnlikelihoodAlpha { get; } =
        new("unlikelihood-alpha", "Weight of unlikelihood's rejected completion; default: 1.", IsWeight, WeightRange);

    public static LossParameter DesirableWeight { get; } = new("desirable-weight", "Weight of kto's desirable completions; default: 1.", IsWeight, WeightRange);

    public static LossParameter UndesirableWeight { get; } =
        new("undesirable-weight", "Weight of kto's undesirable completions; default: 1.", IsWeight, WeightRange);

    public static LossParameter RpoAlpha { get; } = new("rpo-alpha", "Adds sft with this weight to the loss (RPO).", static v => v is > 0 and <= 1e6, "above 0, at most 1000000");

    public static LossParameter TailWeight { get; } =
        new("ld-alpha", "Weight of tokens past the shorter completion's length (LD-DPO).", static v => v is >= 0 and <= 1, "from 0 to 1");

    public static IReadOnlyList<LossParameter> All { get; } =
    [
        Beta, LabelSmoothing, DivergenceAlpha, DiscoPopTau, Gamma, AlphaPoAlpha, CpoAlpha, DpopLambda, UnlikelihoodAlpha, DesirableWeight,
        UndesirableWeight, RpoAlpha, TailWeight,
    ];

    private const string WeightRange = "from 0 to 1000000";

    private static bool IsWeight(double value) => value is >= 0 and <= 1e6;
}

/// <summary>What was chosen for a loss; what was not is left to the loss's own default.</summary>
public sealed record LossSettings
{
    public IReadOnlyDictionary<LossParameter, double> Numbers { get; init; } = new Dictionary<LossParameter, double>();

    /// <summary>One of <see cref="LossCatalog.Divergences"/>, or null for the reverse KL.</summary>
    public string? Divergence { get; init; }

    /// <summary>Whether ipo and sigmoid_norm take means over a completion's tokens, or sums; null for means.</summary>
    public bool? Means { get; init; }

    /// <summary>The reference's log-probs count as 0.</summary>
    public bool ReferenceFree { get; init; }

    /// <summary>WPO's weights.</summary>
    public bool Weighted { get; init; }

    /// <summary>1/2 in the place of sigmoid(-margin) in DPO's gradient.</summary>
    public bool WithoutWeight { get; init; }

    public double Number(LossParameter parameter, double otherwise) => Numbers.TryGetValue(parameter, out var value) ? value : otherwise;
}

/// <summary>A loss that is not known, or options that it ignores. The message names the option.</summary>
public sealed class LossException(string message) : Exception(message);
