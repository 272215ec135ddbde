using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

/// <summary>A loss as the command line names it.</summary>
public sealed record LossCase(string Text, LossSettings Settings)
{
    public IPreferenceLoss Loss => LossCatalog.Create(Text, Settings);

    public double Number(LossParameter parameter, double otherwise) => Settings.Number(parameter, otherwise);

    public override string ToString() => string.Join(' ', [
        Text,
        .. Settings.Numbers.Select(static n => FormattableString.Invariant($"--{n.Key.Name} {n.Value}")),
        .. Settings.Divergence is null ? [] : new[] { $"--f-divergence {Settings.Divergence}" },
        .. Settings.Means is null ? [] : new[] { $"--reduction {(Settings.Means.Value ? "mean" : "sum")}" },
        .. Settings.ReferenceFree ? new[] { "--reference-free" } : [],
        .. Settings.Weighted ? new[] { "--wpo" } : [],
        .. Settings.WithoutWeight ? new[] { "--no-weight" } : [],
    ]);

    /// <summary>Every loss with its parameters, and with every combination of divergence and modifiers that it goes together with.</summary>
    public static IEnumerable<LossCase> All() => Chosen().Concat(Combinations(null)).DistinctBy(static c => c.ToString());

    /// <summary>Every loss with every combination of divergence and modifiers that the catalogue allows.</summary>
    /// <param name="tailWeight">LD-DPO's alpha; null for the losses without it.</param>
    public static IEnumerable<LossCase> Combinations(double? tailWeight)
    {
        var numbers = tailWeight is { } alpha ? new Dictionary<LossParameter, double> { [LossParameter.TailWeight] = alpha } : [];
        return
            from name in LossCatalog.Names
            from divergence in LossCatalog.Divergences
            from sums in new[] { false, true }
            from referenceFree in new[] { false, true }
            from weighted in new[] { false, true }
            from withoutWeight in new[] { false, true }
            let settings = new LossSettings
            {
                Numbers = numbers,
                Divergence = divergence == LossCatalog.Divergences[0] ? null : divergence,
                Means = sums ? false : null,
                ReferenceFree = referenceFree,
                Weighted = weighted,
                WithoutWeight = withoutWeight,
            }
            where IsAllowed(name, settings)
            select new LossCase(name, settings);
    }

    private static bool IsAllowed(string name, LossSettings settings)
    {
        try
        {
            _ = LossCatalog.Create(name, settings);
            return true;
        }
        catch (LossException)
        {
            return false;
        }
    }

    private static IEnumerable<LossCase> Chosen()
    {
        var (beta, smoothing) = (LossParameter.Beta, LossParameter.LabelSmoothing);
        foreach (var name in LossCatalog.Names)
        {
            yield return Of(name);
            if (name is not ("sft" or "unlikelihood"))
            {
                yield return Of(name, (beta, 1));
            }
        }
        foreach (var name in new[] { "sigmoid", "robust", "exo_pair", "aot", "aot_unpaired", "simpo", "alphapo", "cpo" })
        {
            yield return Of(name, (beta, 0.5), (smoothing, 0.1));
        }
        yield return Of("discopop", (LossParameter.DiscoPopTau, 0.5));
        yield return Of("dpop", (LossParameter.DpopLambda, 2));
        yield return Of("kto", (LossParameter.DesirableWeight, 2), (LossParameter.UndesirableWeight, 0.5));
        yield return Of("simpo", (LossParameter.Gamma, 1.5));
        yield return Of("alphapo", (LossParameter.AlphaPoAlpha, -0.5), (LossParameter.Gamma, 0));
        yield return Of("cpo", (LossParameter.CpoAlpha, 0.25));
        yield return Of("cpo", (LossParameter.CpoAlpha, 0));
        yield return Of("unlikelihood", (LossParameter.UnlikelihoodAlpha, 0.3));
        yield return Of("sigmoid", (LossParameter.RpoAlpha, 0.7));
        yield return Of("sigmoid:0.5,bco_pair:2,sft:0.25", (beta, 0.3));
        foreach (var name in s_scored)
        {
            yield return new LossCase(name, new LossSettings { Divergence = "reverse_kl" });
            yield return new LossCase(name, new LossSettings
            {
                Divergence = "alpha",
                Numbers = new Dictionary<LossParameter, double> { [LossParameter.DivergenceAlpha] = 1.25 },
            });
        }
        yield return new LossCase("sigmoid", new LossSettings
        {
            Divergence = "forward_kl",
            Numbers = new Dictionary<LossParameter, double> { [beta] = 1, [smoothing] = 0.2 },
        });
        var withoutWeight = new LossSettings { WithoutWeight = true };
        yield return new LossCase("sigmoid", withoutWeight with { Divergence = "js", Numbers = new Dictionary<LossParameter, double> { [beta] = 1 } });
        yield return new LossCase("sigmoid:2,sft", withoutWeight with { Weighted = true });
        yield return new LossCase("sigmoid,sft:0.5", new LossSettings { Weighted = true });

        static LossCase Of(string text, params (LossParameter Parameter, double Value)[] numbers) =>
            new(text, new LossSettings { Numbers = numbers.ToDictionary(static n => n.Parameter, static n => n.Value) });
    }

    private static readonly string[] s_scored =
        ["sigmoid", "robust", "ipo", "hinge", "sigmoid_norm", "exo_pair", "nca_pair", "bco_pair", "sppo_hard", "discopop", "apo_down"];
}

/// <summary>A batch of pairs as plain numbers, all of which float holds exactly.</summary>
public sealed record LossBatch(
    double[] Chosen, double[] Rejected, double[] ReferenceChosen, double[] ReferenceRejected, int[] ChosenLength, int[] RejectedLength)
{
    public double[] Prompt { get; init; } = [.. Chosen.Select(static (_, i) => -3 - (0.25 * i))];

    public int[] PromptLength { get; init; } = [.. Chosen.Select(static (_, i) => 2 + (i % 4))];

    public double[] ChosenConfidence { get; init; } = [.. Chosen.Select(static (_, i) => (0.125 * (i % 9)) - 0.5)];

    public double[] RejectedConfidence { get; init; } = [.. Chosen.Select(static (_, i) => (0.125 * (i % 7)) - 0.75)];

    public double[] MismatchedChosen { get; init; } = [.. Chosen.Select(static (_, i) => 1.5 - (0.125 * (i % 5)))];

    public double[] MismatchedRejected { get; init; } = [.. Chosen.Select(static (_, i) => (0.25 * (i % 3)) - 0.5)];

    public int Count => Chosen.Length;

    /// <summary>
    /// Log-ratios of opposite sign, up to 20 each, so margins from -40 to 40 before beta; then others whose sum is not 0; and 0 and 0. No two
    /// ratios, and no two log-probs, are equal within a batch, so that ranks are unique with a reference and without.
    /// </summary>
    public static LossBatch Margins { get; } = FromRatios(
    [
        .. new double[] { 0, 0.25, 0.5, 1, 2, 3.5, 5, 7.5, 10, 12, 15, 18, 20 }.SelectMany(static h => h == 0 ? new[] { (0.0, 0.0) } : [(h, -h), (-h, h)]),
        (1.25, 0.75), (-4.5, -6.25), (6.5, 9.25), (-8.75, -3.25), (0.125, -13.5),
    ]);

    /// <summary>The same as unpaired rows: every second one has its rejected completion alone, the others their chosen one.</summary>
    public static LossBatch Unpaired { get; } = Margins with
    {
        Chosen = Every(Margins.Chosen, 0),
        ReferenceChosen = Every(Margins.ReferenceChosen, 0),
        ChosenLength = Every(Margins.ChosenLength, 0),
        Rejected = Every(Margins.Rejected, 1),
        ReferenceRejected = Every(Margins.ReferenceRejected, 1),
        RejectedLength = Every(Margins.RejectedLength, 1),
    };

    /// <summary>Some of them, at which no loss has a kink but where policy and reference agree.</summary>
    public static LossBatch FewMargins { get; } =
        FromRatios([(0, 0), (0.25, -0.25), (-1, 1), (3.5, -3.5), (-12, 12), (20, -20), (-20, 20), (6.5, 9.25), (-8.75, -3.25)]);

    /// <summary>A policy at the given log-ratios from a reference of log-probs about -60, or the offset exactly.</summary>
    public static LossBatch FromRatios((double Chosen, double Rejected)[] ratios, double? offset = null)
    {
        double[] reference = [.. ratios.Select((_, i) => offset ?? (-60 - (0.3828125 * i)))];
        double[] other = [.. ratios.Select((_, i) => offset ?? (-75 + (0.6328125 * i)))];
        return new LossBatch(
            [.. ratios.Zip(reference, static (r, x) => x + r.Chosen)], [.. ratios.Zip(other, static (r, x) => x + r.Rejected)], reference, other,
            [.. ratios.Select(static (_, i) => 8 + (i % 5))], [.. ratios.Select(static (_, i) => 4 + (i % 7))]);
    }

    /// <summary>The loss of each pair, and the derivatives of their sum by the policy's log-probs.</summary>
    public (Real[] Loss, Real[] ByChosen, Real[] ByRejected) Evaluate(IBackend backend, IPreferenceLoss loss)
    {
        using var step = new StepScope(backend);
        var batch = new PreferenceBatch(
            PairLogProbs.Of(backend, Real(Chosen), Real(Rejected), requiresGrad: true),
            PairLogProbs.Of(backend, Real(ReferenceChosen), Real(ReferenceRejected)))
        {
            Lengths = new PairLengths(PromptLength, ChosenLength, RejectedLength),
            Prompts = Tensor.From(backend, Shape.Vector(Count), Real(Prompt)),
            Confidence = PairLogProbs.Of(backend, Real(ChosenConfidence), Real(RejectedConfidence)),
            MismatchedRatios = [.. MismatchedChosen, .. MismatchedRejected],
        };
        var perPair = loss.PerPair(batch);
        var values = perPair.ToArray();
        perPair.Sum().Backward();
        return (values, batch.Policy.Chosen.GradToArray(), batch.Policy.Rejected.GradToArray());
    }

    // Those of the rows of one parity; 0 for the rest.
    private static T[] Every<T>(T[] values, int parity)
        where T : struct => [.. values.Select((v, i) => i % 2 == parity ? v : default)];

    private static Real[] Real(double[] values) => Array.ConvertAll(values, static v => (Real)v);
}
