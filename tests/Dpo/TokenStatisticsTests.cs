using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

public class TokenStatisticsTests
{
    /// <summary>From whole rows of probabilities; an unpaired row has what it has.</summary>
    [TestCase(10_000)]
    [TestCase(1)]
    public void AreThoseOfTheDistributions(int budget)
    {
        using var backend = PoisonedBackend.Create(2);
        var (model, reference) = (TinyModels.Create(backend), TinyModels.Create(backend, seed: 2));
        PreferencePair[] pairs = [.. TinyModels.Pairs(6), TinyModels.Pairs(7)[6] with { Chosen = [] }];
        // Random tokens are seldom the likeliest: let some be.
        pairs[0] = pairs[0] with { Chosen = [Likeliest(Rows(pairs[0].Prompt, [0])[0]), .. pairs[0].Chosen[1..]] };
        var (entropies, divergences) = (new List<double>(), new List<double>());
        var (right, chosen) = (0, 0);
        foreach (var pair in pairs)
        {
            foreach (var completion in new[] { pair.Chosen, pair.Rejected }.Where(static c => c.Length > 0))
            {
                foreach (var (logits, others, token) in Rows(pair.Prompt, completion).Zip(Rows(pair.Prompt, completion, reference), completion))
                {
                    var (p, q) = (Probabilities(logits), Probabilities(others));
                    entropies.Add(-p.Sum(static p => p * Math.Log(p)));
                    divergences.Add(p.Zip(q, static (p, q) => p * Math.Log(p / q)).Sum());
                    right += completion == pair.Chosen && Likeliest(logits) == token ? 1 : 0;
                }
            }
            chosen += pair.Chosen.Length;
        }
        Assert.That(right, Is.GreaterThan(0));
        var actual = TokenStatistics.Measure(model, pairs, budget, reference);
        Assert.That(actual.Entropy, Is.EqualTo(entropies.Average()).Within(sizeof(Real) == 4 ? 2e-6 : 1e-12));
        Assert.That(actual.MeanTokenAccuracy, Is.EqualTo((double)right / chosen));
        Assert.That(actual.Kl, Is.EqualTo(divergences.Average()).Within(sizeof(Real) == 4 ? 2e-6 : 1e-12));
        Assert.That(TokenStatistics.Measure(model, pairs[^1..]).Metrics.Select(static m => m.Name), Is.EqualTo(new[] { "entropy" }), "no chosen completion");

        Real[][] Rows(int[] prompt, int[] completion, Transformer? other = null)
        {
            using var step = new StepScope(backend, gradients: false);
            var packed = PackedBatch.Pack(backend, [new PromptGroup(prompt, [completion])]);
            return [.. (other ?? model).Logits((other ?? model).Hidden(packed), packed.Rows).ToArray().Chunk(model.Config.VocabSize)];
        }

        static double[] Probabilities(Real[] logits)
        {
            var weights = logits.Select(z => Math.Exp((double)z - logits.Max())).ToArray();
            return [.. weights.Select(w => w / weights.Sum())];
        }

        static int Likeliest(Real[] logits) => Array.IndexOf(logits, logits.Max());
    }
}
