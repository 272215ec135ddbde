using System.Globalization;

namespace TinyDpo.Dpo;

/// <summary>
/// What DPO owes to each of its parts: the weight of its gradient, the reference, beta, the number of pairs, and that the pairs are the
/// reference's own samples (Rafailov et al. 2023, section 4 and appendix).
/// </summary>
internal static class Ablation
{
    public const string WithoutWeight = "without the weight", WithoutReference = "without the reference", FewerPairs = "fewer pairs", OtherPairs = "other pairs";

    /// <summary>DPO over beta: runs of the frontier too.</summary>
    public static IReadOnlyList<FrontierArm> OverBeta(ExperimentOptions options) =>
        [.. options.DpoBetas.Append(options.Demo.Beta).Distinct().Order().Select(beta => FrontierArm.WithDpo(options, beta))];

    /// <summary>The rest, all with the demonstration's beta.</summary>
    public static IReadOnlyList<FrontierArm> Arms(ExperimentOptions options)
    {
        var dpo = new DpoLoss(options.Demo.Beta);
        return
        [
            FrontierArm.OnPairs(options, WithoutWeight, "", new UnweightedDpoLoss(options.Demo.Beta)),
            FrontierArm.OnPairs(options, WithoutReference, "", new WithoutReferenceLoss(dpo)),
            .. options.PairDivisors.Select(divisor => FrontierArm.OnPairs(
                options, FewerPairs, "1 in " + divisor.ToString(CultureInfo.InvariantCulture), dpo, world => world.Fewer(divisor))),
            .. options.SourceTemperatures.Select(static t => new PairSource(t)).Prepend(PairSource.Writer)
                .Select(source => FrontierArm.OnPairs(options, OtherPairs, source.ToString(), dpo, world => world.From(source))),
        ];
    }
}
