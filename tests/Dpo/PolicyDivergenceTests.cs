using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

public class PolicyDivergenceTests
{
    private CpuBackend _backend = null!;
    private Transformer _policy = null!;
    private Transformer _reference = null!;

    [SetUp]
    public void Open()
    {
        _backend = PoisonedBackend.Create(threads: 2);
        var config = TinyModels.Config(vocabulary: 11);
        (_policy, _reference) = (TinyModels.Create(_backend, config, seed: 1), TinyModels.Create(_backend, config, seed: 2));
    }

    [TearDown]
    public void Close() => _backend.Dispose();

    [Test]
    public void TheExactKlIsThatOfTheFullDistributions([Values(1, 40, 10_000)] int tokenBudget)
    {
        var sequences = Enumerable.Range(0, 7)
            .Select(static i => (Prompt: TinyModels.Tokens(1, 2 * i, 6, 11), Completion: TinyModels.Tokens(1, (2 * i) + 1, 9, 11))).ToArray();
        var divergence = PolicyDivergence.Measure(_policy, _reference, sequences, tokenBudget);
        for (var i = 0; i < sequences.Length; i++)
        {
            var (prompt, completion) = sequences[i];
            double kl = 0, logP = 0, logQ = 0;
            for (var n = 0; n < completion.Length; n++)
            {
                var (p, q) = (LogProbs(_policy, [.. prompt, .. completion[..n]]), LogProbs(_reference, [.. prompt, .. completion[..n]]));
                kl += p.Zip(q, static (a, b) => Math.Exp(a) * (a - b)).Sum();
                logP += p[completion[n]];
                logQ += q[completion[n]];
            }
            var tolerance = sizeof(Real) == 4 ? 1e-4 : 1e-11;
            Assert.That(divergence.Kl[i], Is.EqualTo(kl).Within(tolerance));
            Assert.That(divergence.PolicyLogProbs[i], Is.EqualTo(logP).Within(tolerance));
            Assert.That(divergence.ReferenceLogProbs[i], Is.EqualTo(logQ).Within(tolerance));
        }
    }

    [Test]
    public void AModelDoesNotDivergeFromItself()
    {
        var divergence = PolicyDivergence.Measure(_policy, _policy.Clone(), [([1, 2], [3, 4, 5]), ([6], [7])]);
        Assert.That(divergence.Kl, Is.All.Zero);
        Assert.That(divergence.PolicyLogProbs, Is.EqualTo(divergence.ReferenceLogProbs));
    }

    /// <summary>
    /// Over the policy's own samples log p - log q and the exact KL have one mean, KL(policy || reference) of whole sequences. Sampling,
    /// log-probs and KL must agree on it.
    /// </summary>
    [Test]
    public void SamplesLogRatiosAverageToTheMeanExactKl()
    {
        const int count = 3000;
        int[] prompt = [1, 2];
        var samples = Generator.Sample(
            _policy, [.. Enumerable.Repeat(prompt, count)], new GenerationOptions { MaxTokens = 4, EosId = 0, Seed = 3 });
        var divergence = PolicyDivergence.Measure(_policy, _reference, [.. samples.Select(s => (prompt, s.Tokens))]);
        double[] differences = [.. divergence.PolicyLogProbs.Zip(divergence.ReferenceLogProbs, static (p, q) => p - q)];
        var paired = Statistics.PairedDifference(differences, divergence.Kl);
        Assert.That(paired.Contains(0), Is.True, $"{paired}");
        Assert.That(Statistics.Mean(divergence.Kl).Low, Is.GreaterThan(10 * (paired.High - paired.Low)), "a KL that the interval could not hide");
    }

    [Test]
    public void ProgressIsReportedAndCancellationStops()
    {
        (int[], int[])[] sequences = [.. Enumerable.Repeat<(int[], int[])>(([1], [2, 3]), 6)];
        var done = new List<int>();
        PolicyDivergence.Measure(_policy, _reference, sequences, tokenBudget: 7, done: done.Add);
        Assert.That(done, Is.EqualTo(new[] { 2, 4, 6 }));
        Assert.That(
            () => PolicyDivergence.Measure(_policy, _reference, sequences, cancellation: new CancellationToken(canceled: true)),
            Throws.InstanceOf<OperationCanceledException>());
    }

    /// <summary>log softmax of the next token's logits, in double.</summary>
    private double[] LogProbs(Transformer model, int[] prefix)
    {
        using var step = new StepScope(_backend, gradients: false);
        var batch = PackedBatch.Pack(_backend, [new PromptGroup(prefix, [[0]])]);
        var logits = model.Logits(model.Hidden(batch), OpTable.Index(_backend, [prefix.Length - 1])).ToArray();
        var logSum = Math.Log(logits.Sum(static z => Math.Exp(z)));
        return [.. logits.Select(z => z - logSum)];
    }
}
