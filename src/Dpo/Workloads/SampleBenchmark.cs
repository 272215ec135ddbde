using System.Diagnostics;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>Times sampling: sequences side by side, all of one length, since no end token stops them.</summary>
public static class SampleBenchmark
{
    /// <param name="model">The model.</param>
    /// <param name="sequences">Sampled side by side, each from the one token <paramref name="start"/>.</param>
    /// <param name="tokens">Of each sequence.</param>
    /// <param name="rounds">Counted rounds, after one of warm-up.</param>
    /// <param name="start">The prompt.</param>
    /// <returns>Sampled tokens a second in the median round.</returns>
    public static double TokensPerSecond(Transformer model, int sequences, int tokens, int rounds, int start)
    {
        int[][] prompts = [.. Enumerable.Repeat(new[] { start }, sequences)];
        var rates = new List<double>();
        for (var round = 0; round <= rounds; round++)
        {
            var began = Stopwatch.GetTimestamp();
            var sampled = Generator.Sample(model, prompts, new GenerationOptions { MaxTokens = tokens, Seed = (ulong)round, Slots = sequences });
            rates.Add(sampled.Sum(static s => s.Tokens.Length) / Stopwatch.GetElapsedTime(began).TotalSeconds);
        }
        rates.RemoveAt(0);
        return rates.Order().ElementAt(rates.Count / 2);
    }
}
