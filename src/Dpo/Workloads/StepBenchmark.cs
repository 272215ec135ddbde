using System.Diagnostics;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>What a benchmark of the DPO step found.</summary>
/// <param name="Milliseconds">Of each counted step.</param>
/// <param name="PackedTokens">Tokens run: prompts once a pair.</param>
/// <param name="LastLoss">The loss computed in the last step, before its update.</param>
/// <param name="Flops">What a step needs: <see cref="StepFlops"/>.</param>
/// <param name="PeakFlopsPerSecond">The processor's <see cref="FmaPeak"/>, the best of one measurement after each step; null on another device.</param>
public sealed record StepBenchmarkResult(double[] Milliseconds, int PackedTokens, double LastLoss, long Flops, double? PeakFlopsPerSecond)
{
    public double Median => Milliseconds.Order().ElementAt(Milliseconds.Length / 2);

    /// <summary>Model FLOPs utilisation (Chowdhery et al. 2022): needed operations a second over the peak, in the median step.</summary>
    public double? Utilisation => Flops / (Median / 1000) / PeakFlopsPerSecond;
}

/// <summary>
/// Times whole DPO steps on one batch: forward, backward and AdamW (betas 0.9 and 0.999, epsilon 1e-8, decay 0.01), the reference's
/// log-probs computed once before. Steps at the beginning warm up and are not counted.
/// </summary>
public static class StepBenchmark
{
    public const int WarmupSteps = 2;

    /// <param name="workload">Shape and pairs.</param>
    /// <param name="weights">A safetensors file with Hugging Face's names, or null to initialise from the seed.</param>
    /// <param name="steps">Counted steps.</param>
    /// <param name="backend">The device.</param>
    /// <param name="warmup">Steps before.</param>
    /// <param name="counting">Called when the counted steps begin.</param>
    /// <param name="counted">Called after each of them.</param>
    /// <exception cref="InputException">The weights do not fit, or the loss stops being finite.</exception>
    public static StepBenchmarkResult Run(
        Workload workload, string? weights, int steps, IBackend backend, int warmup = WarmupSteps, Action? counting = null,
        Action? counted = null)
    {
        var policy = new Transformer(workload.Config, backend);
        if (weights is null)
        {
            policy.Initialise(workload.Seed);
        }
        else
        {
            ModelFile.ReadWeights(policy, weights, prefix: "");
        }
        var task = new DpoTask(
            policy, workload.Pairs, ReferenceLogProbs.Compute(policy, workload.Pairs), new DpoLoss(workload.Beta), tokenBudget: int.MaxValue);
        var optimiser = new AdamW(policy.Weights, weightDecay: 0.01);
        int[] batch = [.. Enumerable.Range(0, workload.Pairs.Length)];
        var times = new double[steps];
        double loss = 0;
        double? peak = null;
        for (var step = -warmup; step < steps; step++)
        {
            if (step == 0)
            {
                counting?.Invoke();
            }
            var start = Stopwatch.GetTimestamp();
            policy.Weights.ClearGradients();
            loss = task.Accumulate(batch).Loss;
            if (!double.IsFinite(loss))
            {
                throw new InputException(
                    weights ?? workload.Path, null, $"the loss is not finite in step {step + warmup}", "check the weights, or give a smaller learning_rate");
            }
            optimiser.Step(workload.LearningRate);
            backend.Synchronise(); // the loss came back before the update was done
            if (step >= 0)
            {
                times[step] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
                counted?.Invoke();
                peak = backend is CpuBackend cpu ? Math.Max(peak ?? 0, cpu.MeasurePeak()) : null;
            }
        }
        return new StepBenchmarkResult(
            times, workload.Pairs.Sum(static p => p.Tokens()), loss, StepFlops.Needed(workload.Config, workload.Pairs), peak);
    }
}
