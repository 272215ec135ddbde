using System.Globalization;

namespace TinyDpo.Dpo;

/// <summary>The losses by name, each with what it takes: anything else that is given is refused. docs/losses.md has a line for each.</summary>
public static class LossCatalog
{
    // What a loss goes together with.
    [Flags]
    private enum With
    {
        Nothing = 0,
        Divergence = 1,
        Reduction = 2,
        NoReference = 4,
        TailWeight = 8,
        Weights = 16,
        NoWeight = 32,
        Scores = Divergence | NoReference | TailWeight | Weights,
    }

    private sealed record Entry(string Name, With With, Func<LossSettings, IPreferenceLoss> Create, params LossParameter[] Takes);

    private static readonly Entry[] s_entries =
    [
        new("sigmoid", With.Scores | With.NoWeight, Sigmoid, LossParameter.Beta, LossParameter.LabelSmoothing),
        new("robust", With.Scores, static s => new RobustLoss(Beta(s), Smoothing(s), Divergence(s)), LossParameter.Beta, LossParameter.LabelSmoothing),
        new("ipo", With.Scores | With.Reduction, static s => new IpoLoss(Beta(s), s.Means ?? true, Divergence(s)), LossParameter.Beta),
        new("hinge", With.Scores, static s => new HingeLoss(Beta(s), Divergence(s)), LossParameter.Beta),
        new("sigmoid_norm", With.Scores | With.Reduction, static s => new SigmoidNormLoss(Beta(s), s.Means ?? true, Divergence(s)), LossParameter.Beta),
        new("exo_pair", With.Scores, Exo, LossParameter.Beta, LossParameter.LabelSmoothing),
        new("nca_pair", With.Scores, static s => new NcaPairLoss(Beta(s), Divergence(s)), LossParameter.Beta),
        new("bco_pair", With.Scores, static s => new BcoPairLoss(Beta(s), Divergence(s)), LossParameter.Beta),
        new("sppo_hard", With.Scores, static s => new SppoHardLoss(Beta(s), Divergence(s)), LossParameter.Beta),
        new("discopop", With.Scores, static s => new DiscoPopLoss(Beta(s), s.Number(LossParameter.DiscoPopTau, 0.05), Divergence(s)),
            LossParameter.Beta, LossParameter.DiscoPopTau),
        new("apo_zero", With.Scores & ~With.Divergence, static s => new ApoZeroLoss(Beta(s)), LossParameter.Beta),
        new("apo_down", With.Scores, static s => new ApoDownLoss(Beta(s), Divergence(s)), LossParameter.Beta),
        new("apo_zero_unpaired", With.Scores & ~With.Divergence, static s => new ApoZeroUnpairedLoss(Beta(s)), LossParameter.Beta),
        new("aot", With.NoReference | With.TailWeight, static s => new AotLoss(Beta(s), Smoothing(s)), LossParameter.Beta, LossParameter.LabelSmoothing),
        new("aot_unpaired", With.NoReference | With.TailWeight, static s => new AotUnpairedLoss(Beta(s), Smoothing(s)),
            LossParameter.Beta, LossParameter.LabelSmoothing),
        new("dpop", With.TailWeight | With.Weights, static s => new DpopLoss(Beta(s), s.Number(LossParameter.DpopLambda, 50)),
            LossParameter.Beta, LossParameter.DpopLambda),
        new("kto", With.Nothing, static s => new KtoLoss(Beta(s), s.Number(LossParameter.DesirableWeight, 1), s.Number(LossParameter.UndesirableWeight, 1)),
            LossParameter.Beta, LossParameter.DesirableWeight, LossParameter.UndesirableWeight),
        new("simpo", With.Weights, static s => new SimPoLoss(Beta(s, 2), s.Number(LossParameter.Gamma, 0.5), Smoothing(s)),
            LossParameter.Beta, LossParameter.Gamma, LossParameter.LabelSmoothing),
        new("alphapo", With.Weights,
            static s => new AlphaPoLoss(Beta(s, 2), s.Number(LossParameter.AlphaPoAlpha, 0.25), s.Number(LossParameter.Gamma, 0.5), Smoothing(s)),
            LossParameter.Beta, LossParameter.AlphaPoAlpha, LossParameter.Gamma, LossParameter.LabelSmoothing),
        new("cpo", With.Nothing, static s => new CpoLoss(Beta(s), s.Number(LossParameter.CpoAlpha, 1), Smoothing(s)),
            LossParameter.Beta, LossParameter.CpoAlpha, LossParameter.LabelSmoothing),
        new("orpo", With.Nothing, static s => new OrpoLoss(Beta(s)), LossParameter.Beta),
        new("sft", With.Nothing, static _ => new SftLoss()),
        new("unlikelihood", With.TailWeight, static s => new UnlikelihoodLoss(s.Number(LossParameter.UnlikelihoodAlpha, 1)), LossParameter.UnlikelihoodAlpha),
    ];

    /// <summary>All names, DPO's first.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. s_entries.Select(static e => e.Name)];

    /// <summary>The names of the divergences, DPO's first.</summary>
    public static IReadOnlyList<string> Divergences { get; } = ["reverse_kl", "forward_kl", "js", "alpha"];

    /// <summary>The loss that a text names: NAME, or NAME[:WEIGHT],NAME[:WEIGHT]... for a weighted sum.</summary>
    /// <exception cref="LossException">A name is not known or stands twice, a weight is no number, or a setting has no effect.</exception>
    public static IPreferenceLoss Create(string text, LossSettings settings)
    {
        var terms = Parse(text);
        foreach (var parameter in settings.Numbers.Keys)
        {
            if (parameter != LossParameter.RpoAlpha && parameter != LossParameter.TailWeight && parameter != LossParameter.DivergenceAlpha
                && !terms.Exists(t => t.Entry.Takes.Contains(parameter)))
            {
                throw Ignored(parameter.Name, $"--loss {text}");
            }
        }
        RequireAlphaDivergence(settings);
        Require(settings.Divergence is not null, With.Divergence, "f-divergence");
        Require(settings.ReferenceFree, With.NoReference, "reference-free");
        Require(settings.Weighted, With.Weights, "wpo");
        Require(settings.WithoutWeight, With.NoWeight, "no-weight");
        RequireNoSmoothing(settings);
        if (settings.Means is not null && !terms.Exists(static t => t.Entry.With.HasFlag(With.Reduction)))
        {
            throw Ignored("reduction", $"--loss {text}");
        }
        if (settings.Numbers.TryGetValue(LossParameter.RpoAlpha, out var alpha))
        {
            terms.Add((Find("sft"), alpha));
            RequireDistinct(terms, "--rpo-alpha adds sft, which --loss has already");
        }
        var sum = terms.Select(t => (Modified(t.Entry), t.Weight)).ToList();
        var loss = sum is [(var only, 1)] ? only : new SumLoss(sum);
        if (!settings.Numbers.TryGetValue(LossParameter.TailWeight, out var tail))
        {
            return loss;
        }
        var without = terms.Find(static t => !t.Entry.With.HasFlag(With.TailWeight)).Entry;
        return without is null ? new LengthDesensitizedLoss(loss, tail) : throw NotDefined(LossParameter.TailWeight.Name, without);

        // sft beside other losses is neither of the reference nor of pairs: it stays as it is.
        void Require(bool given, With with, string option)
        {
            if (given && terms.Find(t => !t.Entry.With.HasFlag(with) && (t.Entry.Name != "sft" || terms.Count == 1)).Entry is { } entry)
            {
                throw NotDefined(option, entry);
            }
        }

        IPreferenceLoss Modified(Entry entry)
        {
            var created = entry.Create(settings);
            created = settings.ReferenceFree && entry.With.HasFlag(With.NoReference) ? new WithoutReferenceLoss(created) : created;
            return settings.Weighted && entry.With.HasFlag(With.Weights) ? new WeightedLoss(created) : created;
        }
    }

    private static List<(Entry Entry, double Weight)> Parse(string text)
    {
        var terms = new List<(Entry Entry, double Weight)>();
        foreach (var term in text.Split(','))
        {
            var (name, weight) = term.Split(':') switch
            {
                [var alone] => (alone, 1),
                [var named, var number] when double.TryParse(number, NumberStyles.Float, CultureInfo.InvariantCulture, out var value) && value is > 0 and <= 1e6 =>
                    (named, value),
                _ => throw new LossException($"--loss takes NAME or NAME:WEIGHT with a weight above 0, at most 1000000, separated by commas, not '{term}'"),
            };
            terms.Add((Find(name), weight));
        }
        RequireDistinct(terms, "--loss names a loss twice: give it once, with the weights' sum");
        return terms;
    }

    private static Entry Find(string name) => Array.Find(s_entries, e => e.Name == name)
        ?? throw new LossException($"--loss takes one of {string.Join(", ", Names)}, not '{name}'");

    private static void RequireDistinct(List<(Entry Entry, double Weight)> terms, string message)
    {
        if (terms.DistinctBy(static t => t.Entry.Name).Count() < terms.Count)
        {
            throw new LossException(message);
        }
    }

    private static void RequireAlphaDivergence(LossSettings settings)
    {
        if (settings.Numbers.ContainsKey(LossParameter.DivergenceAlpha) && settings.Divergence != "alpha")
        {
            throw Ignored(LossParameter.DivergenceAlpha.Name, $"--f-divergence {settings.Divergence ?? Divergences[0]}");
        }
    }

    private static void RequireNoSmoothing(LossSettings settings)
    {
        if (settings.WithoutWeight && settings.Numbers.ContainsKey(LossParameter.LabelSmoothing))
        {
            throw Ignored(LossParameter.LabelSmoothing.Name, "--no-weight");
        }
    }

    private static LossException Ignored(string option, string with) => new($"--{option} has no effect with {with}: leave it out");

    private static LossException NotDefined(string option, Entry entry) => new($"--{option} is not defined with --loss {entry.Name}: leave it out");

    private static IPreferenceLoss Sigmoid(LossSettings s) => s.WithoutWeight
        ? new UnweightedDpoLoss(Beta(s), Divergence(s))
        : s.Divergence is null or "reverse_kl"
            ? new DpoLoss(Beta(s), Smoothing(s))
            : new DivergenceDpoLoss(Beta(s), Smoothing(s), Divergence(s));

    private static ExoPairLoss Exo(LossSettings s) => Smoothing(s, 1e-3) > 0
        ? new ExoPairLoss(Beta(s), Smoothing(s, 1e-3), Divergence(s))
        : throw new LossException("--label-smoothing must be above 0 with --loss exo_pair, whose labels have a logarithm");

    private static double Beta(LossSettings s, double otherwise = 0.1) => s.Number(LossParameter.Beta, otherwise);

    private static double Smoothing(LossSettings s, double otherwise = 0) => s.Number(LossParameter.LabelSmoothing, otherwise);

    private static Divergence Divergence(LossSettings s) => s.Divergence switch
    {
        null or "reverse_kl" => Dpo.Divergence.ReverseKl,
        "forward_kl" => new ForwardKl(),
        "js" => new JensenShannon(),
        "alpha" => new AlphaDivergence(s.Number(LossParameter.DivergenceAlpha, 0.5)),
        _ => throw new LossException($"--f-divergence takes one of {string.Join(", ", Divergences)}, not '{s.Divergence}'"),
    };
}
