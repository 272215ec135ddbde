using BenchmarkDotNet.Attributes;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Bench;

/// <summary>A whole DPO step: forward, backward and AdamW on 8 pairs of the shape of the toy workload.</summary>
public class StepBenchmarks
{
    private readonly int[] _batch = [.. Enumerable.Range(0, 8)];
    private CpuBackend? _backend;
    private Transformer? _policy;
    private DpoTask? _task;
    private AdamW? _optimiser;
    private long _flops;
    private double _limit;

    [Params(1, 2)]
    public int Threads { get; set; }

    [GlobalSetup]
    public void Prepare()
    {
        _backend = new CpuBackend(Threads);
        _policy = new Transformer(ModelConfig.Llama(vocabulary: 512, hidden: 128, layers: 4, heads: 4, intermediate: 344, positions: 256), _backend);
        _policy.Initialise(0);
        PreferencePair[] pairs = [.. _batch.Select(static i => new PreferencePair(i + 1, Ids(3 * i, 46), Ids((3 * i) + 1, 50), Ids((3 * i) + 2, 50)))];
        _task = new DpoTask(_policy, pairs, ReferenceLogProbs.Compute(_policy, pairs), new DpoLoss());
        _optimiser = new AdamW(_policy.Weights);
        _flops = StepFlops.Needed(_policy.Config, pairs);
        _limit = _backend.MeasurePeak();
    }

    [Benchmark]
    public double Step()
    {
        _policy!.Weights.ClearGradients();
        var loss = _task!.Accumulate(_batch).Loss;
        _optimiser!.Step(1e-4);
        return loss;
    }

    [GlobalCleanup]
    public void Finish()
    {
        Measurements.Add(
            Measurements.Name(nameof(Step), [(nameof(Threads), Threads)]),
            new Measurement(_flops, "GFLOP/s", Math.Max(_limit, _backend!.MeasurePeak()), null));
        _backend.Dispose();
    }

    private static int[] Ids(int stream, int count) =>
        [.. Enumerable.Range(0, count).Select(i => (int)(512 * Philox.Uniform(0, RandomPurpose.Test, 1, stream, i)))];
}
