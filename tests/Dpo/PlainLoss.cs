using TinyDpo.Dpo;

namespace TinyDpo.Tests;

/// <summary>The losses once more, as plain formulas in double with their derivatives worked out by hand; independent of the engine.</summary>
internal static class PlainLoss
{
    // Beyond it a divergence's score is flat: docs/losses.md.
    private const double MostExponent = 40;

    /// <summary>The loss of each pair and the derivatives of their sum by the log-probs of the policy.</summary>
    public static (double[] Loss, double[] ByChosen, double[] ByRejected) Evaluate(LossCase c, LossBatch batch)
    {
        var (loss, byChosen, byRejected) = (new double[batch.Count], new double[batch.Count], new double[batch.Count]);
        var terms = c.Text.Split(',').Select(static t => t.Split(':')).Select(static t => (Name: t[0], Weight: t.Length == 1 ? 1 : Parse(t[1]))).ToList();
        if (c.Settings.Numbers.TryGetValue(LossParameter.RpoAlpha, out var alpha))
        {
            terms.Add(("sft", alpha));
        }
        var seen = c.Settings.ReferenceFree ? batch with { ReferenceChosen = new double[batch.Count], ReferenceRejected = new double[batch.Count] } : batch;
        foreach (var (name, weight) in terms)
        {
            var (value, d, e) = Term(c with { Text = name }, seen);
            for (var i = 0; i < batch.Count; i++)
            {
                var w = weight * (c.Settings.Weighted && name != "sft" ? Math.Exp(batch.ChosenConfidence[i] + batch.RejectedConfidence[i]) : 1);
                loss[i] += w * value[i];
                byChosen[i] += w * d[i];
                byRejected[i] += w * e[i];
            }
        }
        return (loss, byChosen, byRejected);
    }

    private static (double[] Loss, double[] ByChosen, double[] ByRejected) Term(LossCase c, LossBatch b)
    {
        var beta = c.Number(LossParameter.Beta, c.Text is "simpo" or "alphapo" ? 2 : 0.1);
        var n = b.Count;
        double Smoothing(double otherwise = 0) => c.Number(LossParameter.LabelSmoothing, otherwise);
        double[] Ratios(double[] policy, double[] reference) => [.. policy.Zip(reference, static (p, r) => p - r)];
        var (w, l) = (Ratios(b.Chosen, b.ReferenceChosen), Ratios(b.Rejected, b.ReferenceRejected));
        var gamma = c.Number(LossParameter.Gamma, 0.5);
        switch (c.Text)
        {
            case "sft":
                return Each(i => Likelihood(i, 1));
            case "unlikelihood":
                var weight = c.Number(LossParameter.UnlikelihoodAlpha, 1);
                return Each(i => (-b.Chosen[i] + (weight * b.Rejected[i]), -1, weight));
            case "simpo":
                return Each(i => OnMeans(i, static x => x, static _ => 1, m => (Smoothed((beta * m) - gamma, Smoothing()), beta * SmoothedSlope((beta * m) - gamma, Smoothing()))));
            case "alphapo":
                var a = c.Number(LossParameter.AlphaPoAlpha, 0.25);
                return Each(i => OnMeans(
                    i, x => (1 - Math.Exp(-a * x)) / a, x => Math.Exp(-a * x),
                    m => (Smoothed((beta * m) - gamma, Smoothing()), beta * SmoothedSlope((beta * m) - gamma, Smoothing()))));
            case "cpo":
                return Each(i =>
                {
                    var m = beta * (b.Chosen[i] - b.Rejected[i]);
                    var (nll, slope, _) = Likelihood(i, c.Number(LossParameter.CpoAlpha, 1));
                    return (Smoothed(m, Smoothing()) + nll, (beta * SmoothedSlope(m, Smoothing())) + slope, -beta * SmoothedSlope(m, Smoothing()));
                });
            case "orpo":
                var tokens = b.ChosenLength.Sum() + b.PromptLength.Sum() - n;
                return Each(i =>
                {
                    var (odds, d, e) = OnMeans(
                        i, static x => x - Math.Log(-Expm1(x)), static x => -1 / Expm1(x), m => (beta * Softplus(-m), -beta * Sigmoid(-m)));
                    return (odds - ((b.Chosen[i] + b.Prompt[i]) * n / tokens), d - ((double)n / tokens), e);
                });
            case "kto":
                var z = Math.Max(0, b.MismatchedChosen.Concat(b.MismatchedRejected).Average());
                var (good, bad) = (c.Number(LossParameter.DesirableWeight, 1) / 2, c.Number(LossParameter.UndesirableWeight, 1) / 2);
                return Each(i => (
                    (good * Sigmoid(-beta * (w[i] - z))) + (bad * Sigmoid(-beta * (z - l[i]))),
                    -good * beta * SigmoidSlope(beta * (w[i] - z)), bad * beta * SigmoidSlope(beta * (z - l[i]))));
            case "aot":
                return Sorted(Ratios(b.Chosen, b.Rejected), Ratios(b.ReferenceChosen, b.ReferenceRejected), lowerIsRejected: false);
            case "aot_unpaired":
                return Sorted(w, l, lowerIsRejected: true);
            case "apo_down":
                return Each(i =>
                {
                    var m = beta * (Score(w[i]) - Score(l[i]));
                    return (
                        Sigmoid(beta * w[i]) + Sigmoid(-m), (beta * SigmoidSlope(beta * w[i])) - (beta * SigmoidSlope(m) * ScoreSlope(w[i])),
                        beta * SigmoidSlope(m) * ScoreSlope(l[i]));
                });
            default:
                var means = c.Text is "ipo" or "sigmoid_norm" && c.Settings.Means != false;
                return Each(i =>
                {
                    var (chosen, rejected) = means ? (b.ChosenLength[i], b.RejectedLength[i]) : (1.0, 1.0);
                    var (value, d, e) = OfScores(c, beta, Smoothing(c.Text == "exo_pair" ? 1e-3 : 0), Score(w[i]) / chosen, Score(l[i]) / rejected);
                    return (value, d * ScoreSlope(w[i]) / chosen, e * ScoreSlope(l[i]) / rejected);
                });
        }

        (double[], double[], double[]) Each(Func<int, (double Loss, double ByChosen, double ByRejected)> f)
        {
            var all = Enumerable.Range(0, n).Select(f).ToArray();
            return ([.. all.Select(static x => x.Loss)], [.. all.Select(static x => x.ByChosen)], [.. all.Select(static x => x.ByRejected)]);
        }

        (double, double, double) Likelihood(int i, double weight) => (-weight * b.Chosen[i] * n / b.ChosenLength.Sum(), -weight * n / b.ChosenLength.Sum(), 0);

        // f of the difference of the two rewards, each a function of the mean log-prob.
        (double, double, double) OnMeans(int i, Func<double, double> reward, Func<double, double> slope, Func<double, (double Value, double Slope)> f)
        {
            var (chosen, rejected) = (b.Chosen[i] / b.ChosenLength[i], b.Rejected[i] / b.RejectedLength[i]);
            var (value, d) = f(reward(chosen) - reward(rejected));
            return (value, d * slope(chosen) / b.ChosenLength[i], -d * slope(rejected) / b.RejectedLength[i]);
        }

        (double[], double[], double[]) Sorted(double[] upper, double[] lower, bool lowerIsRejected)
        {
            var (loss, byChosen, byRejected) = (new double[n], new double[n], new double[n]);
            var (above, below) = (Order(upper), Order(lower));
            for (var rank = 0; rank < n; rank++)
            {
                var (i, j) = (above[rank], below[rank]);
                var m = beta * (upper[i] - lower[j]);
                loss[i] = Smoothed(m, Smoothing());
                byChosen[i] = beta * SmoothedSlope(m, Smoothing());
                byRejected[lowerIsRejected ? j : i] = -byChosen[i];
            }
            return (loss, byChosen, byRejected);

            static int[] Order(double[] x) => [.. Enumerable.Range(0, x.Length).OrderBy(i => x[i])];
        }

        double DivergenceAlpha() => c.Number(LossParameter.DivergenceAlpha, 0.5);

        double Score(double x) => c.Settings.Divergence switch
        {
            "forward_kl" => -Math.Exp(Math.Min(-x, MostExponent)),
            "js" => -Softplus(-x),
            "alpha" => Math.Exp(Math.Min((DivergenceAlpha() - 1) * x, MostExponent)) / (DivergenceAlpha() - 1),
            _ => x,
        };

        double ScoreSlope(double x) => c.Settings.Divergence switch
        {
            "forward_kl" => -x < MostExponent ? Math.Exp(-x) : 0,
            "js" => Sigmoid(-x),
            "alpha" => (DivergenceAlpha() - 1) * x < MostExponent ? Math.Exp((DivergenceAlpha() - 1) * x) : 0,
            _ => 1,
        };
    }

    // The losses of two scores: value and both derivatives.
    private static (double Loss, double ByChosen, double ByRejected) OfScores(LossCase c, double beta, double smoothing, double chosen, double rejected)
    {
        var m = beta * (chosen - rejected);
        var (w, l) = (beta * chosen, beta * rejected);
        switch (c.Text)
        {
            case "sigmoid" when c.Settings.WithoutWeight:
                return Of(Math.Log(2) - (m / 2), -0.5);
            case "sigmoid":
                return Of(Smoothed(m, smoothing), SmoothedSlope(m, smoothing));
            case "robust":
                return Of(
                    (((1 - smoothing) * Softplus(-m)) - (smoothing * Softplus(m))) / (1 - (2 * smoothing)),
                    -(((1 - smoothing) * Sigmoid(-m)) + (smoothing * Sigmoid(m))) / (1 - (2 * smoothing)));
            case "hinge":
                return Of(Math.Max(0, 1 - m), m < 1 ? -1 : 0);
            case "ipo":
                var miss = chosen - rejected - (1 / (2 * beta));
                return (miss * miss, 2 * miss, -2 * miss);
            case "sigmoid_norm":
                return Of(Softplus(-m), -Sigmoid(-m));
            case "exo_pair":
                return Of(
                    (Sigmoid(m) * (-Softplus(-m) - Math.Log(1 - smoothing))) + (Sigmoid(-m) * (-Softplus(m) - Math.Log(smoothing))),
                    SigmoidSlope(m) * (m - Math.Log((1 - smoothing) / smoothing)));
            case "nca_pair":
                return (Softplus(-w) + (0.5 * Softplus(w)) + (0.5 * Softplus(l)), beta * ((0.5 * Sigmoid(w)) - Sigmoid(-w)), 0.5 * beta * Sigmoid(l));
            case "bco_pair":
                return (Softplus(-w) + Softplus(l), -beta * Sigmoid(-w), beta * Sigmoid(l));
            case "sppo_hard":
                var (up, down) = (chosen - (0.5 / beta), rejected + (0.5 / beta));
                return ((up * up) + (down * down), 2 * up, 2 * down);
            case "apo_zero":
                return (Sigmoid(-w) + Sigmoid(l), -beta * SigmoidSlope(w), beta * SigmoidSlope(l));
            case "apo_zero_unpaired":
                return ((Sigmoid(-w) + Sigmoid(l)) / 2, -beta * SigmoidSlope(w) / 2, beta * SigmoidSlope(l) / 2);
            case "discopop":
                var tau = c.Number(LossParameter.DiscoPopTau, 0.05);
                var exp = Math.Exp(-m - Softplus(-m / tau));
                return Of(
                    (Sigmoid(-m / tau) * Softplus(-m)) + exp,
                    (-SigmoidSlope(m / tau) / tau * Softplus(-m)) - (Sigmoid(-m / tau) * Sigmoid(-m)) + (exp * ((Sigmoid(-m / tau) / tau) - 1)));
            case "dpop":
                var lambda = c.Number(LossParameter.DpopLambda, 50);
                var u = chosen - rejected - (lambda * Math.Max(0, -chosen));
                var d = -beta * Sigmoid(-beta * u);
                return (Softplus(-beta * u), d * (chosen < 0 ? 1 + lambda : 1), -d);
            default:
                throw new ArgumentException($"no plain formula for {c.Text}");
        }

        (double, double, double) Of(double value, double slope) => (value, beta * slope, -beta * slope);
    }

    private static double Smoothed(double m, double smoothing) => ((1 - smoothing) * Softplus(-m)) + (smoothing * Softplus(m));

    private static double SmoothedSlope(double m, double smoothing) => (smoothing * Sigmoid(m)) - ((1 - smoothing) * Sigmoid(-m));

    private static double Softplus(double x) => Math.Max(x, 0) + Log1p(Math.Exp(-Math.Abs(x)));

    private static double Sigmoid(double x) => x < 0 ? Math.Exp(x) / (1 + Math.Exp(x)) : 1 / (1 + Math.Exp(-x));

    private static double SigmoidSlope(double x) => Sigmoid(x) * Sigmoid(-x);

    private static double Log1p(double x) => x < 1e-4 ? x - (x * x / 2) + (x * x * x / 3) : Math.Log(1 + x);

    private static double Expm1(double x) => Math.Abs(x) < 1e-4 ? x + (x * x / 2) + (x * x * x / 6) : Math.Exp(x) - 1;

    private static double Parse(string number) => double.Parse(number, System.Globalization.CultureInfo.InvariantCulture);
}
