namespace TinyDpo.Dpo;

/// <summary>What the claims are checked in.</summary>
/// <param name="World">The small world.</param>
/// <param name="Loss">The loss under test.</param>
/// <param name="Cancellation">Asked within long checks.</param>
internal sealed record TheoryCase(TheoryWorld World, TheoryLoss Loss, CancellationToken Cancellation)
{
    /// <summary>
    /// Equalities between numbers of ordinary size that are computed two ways: sums of at most 1024 terms of a few hundred at the most
    /// (log-probs and rewards over beta), each rounded to 1e-16.
    /// </summary>
    public const double Exact = 1e-9;

    /// <summary>Five-point differences with a step of 1e-3: rounding divided by the step, and the step's fourth power.</summary>
    public const double Difference = 1e-8;

    public double Beta => World.Options.Beta;

    public int Count => World.Sequences.Count;

    public ExpectedLoss Expected(TheoryPrompt prompt, PairDraw? draw = null) => new(prompt, World.Lengths, Loss, draw ?? PairDraw.Uniform(Count));

    /// <summary>The largest measure of all prompts; NaN if any is.</summary>
    public double Worst(Func<TheoryPrompt, double> measure) => World.Prompts.Select(measure).Aggregate(Math.Max);

    /// <summary>The smallest measure of all prompts; NaN if any is.</summary>
    public double Least(Func<TheoryPrompt, double> measure) => -Worst(p => -measure(p));

    /// <summary>
    /// Policies near and far: the reference and the optimum with noise on their logits, 0.1 to 2 strong, and policies of noise alone.
    /// </summary>
    public IEnumerable<double[]> Policies(TheoryPrompt prompt)
    {
        var list = 0;
        foreach (var centre in new[] { prompt.Reference, prompt.Optimal, new double[Count] })
        {
            foreach (var noise in new[] { 0.1, 0.3, 1, 2 })
            {
                yield return Noisy(centre, noise, list++);
            }
        }
    }

    /// <summary>A policy whose logits are given ones with normal noise.</summary>
    public double[] Noisy(double[] logits, double noise, int list) =>
        LogProbs.Normalise(LogProbs.Add(logits, noise, World.Normals(TheoryDraw.Policy, list)));

    /// <summary>A policy as in the middle of training: the reference with noise on its logits.</summary>
    public double[] SomePolicy(TheoryPrompt prompt) => Noisy(prompt.Reference, 0.5 / Math.Max(1, Beta), 100);

    /// <summary>Where a training might begin: further from the reference, but with margins at which the loss is still curved.</summary>
    public double[] RandomStart(TheoryPrompt prompt) => Noisy(prompt.Reference, 1 / Math.Max(1, Beta), 200);

    /// <summary>Directions in the space of logits.</summary>
    public IEnumerable<double[]> Directions(int count) => Enumerable.Range(0, count).Select(d => World.Normals(TheoryDraw.Direction, d));

    /// <summary>The derivative of f at 0 by a five-point difference.</summary>
    public static double Slope(Func<double, double> f, double h = 1e-3) =>
        ((8 * (f(h) - f(-h))) - (f(2 * h) - f(-2 * h))) / (12 * h);
}
