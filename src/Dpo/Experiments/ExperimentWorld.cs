using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>
/// What all methods of one seed share: the SFT model that they start from, the pairs that they learn from, the prefixes that judge them.
/// Each part is made when it is first asked for; models lie in OUT/seed-N, and are read from there if they are there.
/// </summary>
internal sealed class ExperimentWorld
{
    private readonly ExperimentOptions _options;
    private readonly ReviewPipeline _pipeline;
    private readonly IBackend _backend;
    private readonly IRunLog _log;
    private readonly CancellationToken _cancellation;
    private readonly Lazy<(Transformer Model, ITokenizer Tokenizer)> _sft;
    private readonly Lazy<(PreferencePair[] Pairs, double[] LabelProbabilities)> _pairs;
    private readonly Lazy<ReferenceLogProbs> _reference;
    private readonly Lazy<RewardFunction> _learnedReward;
    private readonly Lazy<(int[] Ids, string Text)[]> _heldOut;
    private readonly Lazy<(double[][] True, double[][] Learned)> _pool;
    private readonly Lazy<(PreferencePair[] Pairs, double[] LabelProbabilities)> _curvePairs;
    private readonly Lazy<(PreferencePair[] Pairs, double[] LabelProbabilities)> _heldOutPairs;

    public ExperimentWorld(ExperimentOptions options, ulong seed, IBackend backend, IRunLog log, CancellationToken cancellation)
    {
        (_options, Seed, _backend, _log, _cancellation) = (options, seed, backend, log, cancellation);
        _pipeline = new ReviewPipeline(options.Review with { Seed = seed }, log, cancellation);
        _sft = new(LoadOrTrainSft);
        _pairs = new(() => _pipeline.SamplePairs(Sft, Tokenizer, PrefixSplit.Train, options.Review.PairPrompts, "sampling pairs"));
        _reference = new(() => ReferenceLogProbs.Compute(Sft, Pairs, cancellation: cancellation));
        _learnedReward = new(LearnReward);
        _heldOut = new(() => _pipeline.Prefixes(Tokenizer, PrefixSplit.HeldOut, options.Review.HeldOut));
        _pool = new(SamplePool);
        _curvePairs = new(() => _pipeline.SamplePairs(
            Sft, Tokenizer, PrefixSplit.Train, ReviewPipeline.PromptsFor(options.LearningCurve[^1]), "sampling the curve's pairs"));
        _heldOutPairs = new(() => _pipeline.SamplePairs(
            Sft, Tokenizer, PrefixSplit.HeldOut, ReviewPipeline.PromptsFor(options.CurveHeldOut), "sampling held-out pairs"));
    }

    public ulong Seed { get; }

    public Transformer Sft => _sft.Value.Model;

    public ITokenizer Tokenizer => _sft.Value.Tokenizer;

    public PreferencePair[] Pairs => _pairs.Value.Pairs;

    /// <summary>A reward model's scores, less their mean over the completions of the pairs it learnt from.</summary>
    public RewardFunction LearnedReward => _learnedReward.Value;

    /// <summary>The world's reward on the annotator's scale: the scores that a perfect reward model gives, up to a constant.</summary>
    public RewardFunction TrueReward => completions => [.. completions.Select(g => ReviewWorld.PreferenceScale * (ReviewWorld.Reward(Text(g)) - 0.5))];

    /// <summary>Many completions of SFT's model at each of some held-out prefixes, with true and learned rewards: [prefixes][completions].</summary>
    public (double[][] True, double[][] Learned) Pool => _pool.Value;

    /// <summary>Trains a copy of SFT's model on the pairs; the points along the way.</summary>
    public FrontierPoint[] TrainOnPairs(string name, IPreferenceLoss loss)
    {
        var policy = Sft.Clone();
        var task = new DpoTask(policy, Pairs, _reference.Value, loss);
        var track = new CheckpointTrack(this, policy, _options.Review.Dpo.TotalSteps(task.Examples), _options.Checkpoints);
        _pipeline.Train($"seed {Seed}: {name}", policy, task, _options.Review.Dpo, loss.AtReference, step => track.After(step.Step + 1));
        policy.Weights.Free();
        return track.Points;
    }

    /// <summary>Trains a copy of SFT's model by PPO on the prompts of the pairs; the points along the way.</summary>
    public FrontierPoint[] TrainPpo(string name, double targetKl, RewardFunction reward)
    {
        var policy = Sft.Clone();
        var track = new CheckpointTrack(this, policy, _options.Ppo.Iterations, _options.Checkpoints);
        var prompts = _pipeline.Prefixes(Tokenizer, PrefixSplit.Train, _options.Review.PairPrompts);
        var ppo = _options.Ppo with { TargetKl = targetKl, Seed = Seed, MaxTokens = _options.Review.MaxTokens };
        _log.Stage($"seed {Seed}: {name}", ppo.Iterations);
        new PpoTrainer(policy, Sft, [.. prompts.Select(static p => p.Ids)], Tokenizer.EosId, reward, ppo).Run(
            report =>
            {
                _log.Advance(report.Iteration + 1, FormattableString.Invariant($"score {report.Reward:0.00}  KL {report.Kl:0.00}"));
                track.After(report.Iteration + 1);
            },
            _cancellation);
        policy.Weights.Free();
        return track.Points;
    }

    /// <summary>One sample of the policy at each held-out prefix: reward and KL(policy || SFT), each half of the prefixes by itself.</summary>
    public FrontierPoint Measure(Transformer policy, int step)
    {
        var generation = _pipeline.Generation(Tokenizer, PrefixSplit.HeldOut);
        ScoredCompletion[] samples =
        [
            .. PairSampler.Sample(policy, Tokenizer, _heldOut.Value, 1, generation, new WorldReward(), cancellation: _cancellation).Select(static c => c[0]),
        ];
        var kl = PolicyDivergence.Measure(policy, Sft, [.. samples.Select((s, i) => (_heldOut.Value[i].Ids, s.Tokens))], cancellation: _cancellation).Kl;
        var half = samples.Length / 2;
        var grammatical = samples.Where((s, i) => s.Ended && ReviewWorld.Accepts(_heldOut.Value[i].Text, s.Text)).Count();
        return new FrontierPoint(step, Half(0, half), Half(half, samples.Length), (double)grammatical / samples.Length);

        FrontierHalf Half(int from, int to) => FrontierHalf.Of([.. samples[from..to].Select(static s => s.Reward)], kl[from..to].Average());
    }

    /// <summary>
    /// A reward model and a DPO policy that learn from the first <paramref name="count"/> of the curve's pairs, judged on the same held-out
    /// ones.
    /// </summary>
    public RewardCurvePoint LearnFrom(int count)
    {
        var (all, _) = _curvePairs.Value;
        var pairs = all[..Math.Min(count, all.Length)];
        var (heldOut, labels) = _heldOutPairs.Value;

        var model = Sft.WithScalarHead();
        var task = new RewardTask(model, RewardTask.Rankings(pairs));
        _pipeline.Train($"seed {Seed}: the reward model, {pairs.Length} pairs", model, task, _options.RewardModel, RankingLoss.AtEqualScores(2));
        double[] learned = [.. RewardScores.Measure(model, RewardTask.Rankings(heldOut), cancellation: _cancellation).Select(static s => s[0] - s[1])];
        model.Weights.Free();

        var loss = new DpoLoss(_options.Review.Beta);
        var policy = Sft.Clone();
        var dpo = new DpoTask(policy, pairs, ReferenceLogProbs.Compute(Sft, pairs, cancellation: _cancellation), loss);
        _pipeline.Train($"seed {Seed}: DPO, {pairs.Length} pairs", policy, dpo, _options.Review.Dpo, DpoLoss.AtReference);
        var (p, r) = (ReferenceLogProbs.Compute(policy, heldOut, cancellation: _cancellation), ReferenceLogProbs.Compute(Sft, heldOut, cancellation: _cancellation));
        double[] implied = [.. heldOut.Select((_, i) => loss.Beta * ((double)p.Chosen[i] - r.Chosen[i] - ((double)p.Rejected[i] - r.Rejected[i])))];
        policy.Weights.Free();
        return new RewardCurvePoint(
            pairs.Length, heldOut.Length, ReviewPipeline.BayesAccuracy(labels), RewardJudgement.Of(learned, labels), RewardJudgement.Of(implied, labels));
    }

    private (double[][] True, double[][] Learned) SamplePool()
    {
        var prefixes = _pipeline.Prefixes(Tokenizer, PrefixSplit.HeldOut, _options.PoolPrefixes);
        var generation = _pipeline.Generation(Tokenizer, PrefixSplit.HeldOut);
        _log.Stage($"seed {Seed}: the pool for best-of-N", _options.PoolPrefixes * _options.PoolCompletions);
        var pool = PairSampler.Sample(
            Sft, Tokenizer, prefixes, _options.PoolCompletions, generation, new WorldReward(), n => _log.Advance(n), _cancellation);
        return (
            [.. pool.Select(static completions => completions.Select(static c => c.Reward).ToArray())],
            [.. pool.Select((completions, i) => LearnedReward([.. completions.Select(c => new PromptGroup(prefixes[i].Ids, [c.Tokens]))]))]);
    }

    private (Transformer Model, ITokenizer Tokenizer) LoadOrTrainSft()
    {
        var folder = Path.Combine(_options.Out, $"seed-{Seed}", "sft");
        if (!Directory.Exists(folder))
        {
            var tokenizer = _pipeline.TrainTokenizer();
            var trained = _pipeline.TrainSft(_backend, tokenizer);
            ModelFile.Save(folder, trained, tokenizer);
            trained.Weights.Free();
        }
        // Read again even now: a run that goes on later has the very same weights.
        return ModelFile.Load(folder, _backend);
    }

    private RewardFunction LearnReward()
    {
        var model = Sft.WithScalarHead();
        var rankings = RewardTask.Rankings(Pairs);
        _pipeline.Train($"seed {Seed}: the reward model", model, new RewardTask(model, rankings), _options.RewardModel, RankingLoss.AtEqualScores(2));
        var mean = RewardScores.Measure(model, rankings, cancellation: _cancellation).Average(static s => s.Average());
        return completions => [.. RewardScores.Measure(model, completions, cancellation: _cancellation).Select(s => s[0] - mean)];
    }

    private string Text(PromptGroup group)
    {
        var ids = group.Completions[0];
        return Tokenizer.DecodeContinuation(ids[^1] == Tokenizer.EosId ? ids.AsSpan(..^1) : ids);
    }

    /// <summary>Measures a policy along its training: at the end, and at 1/2, 1/4, 1/8 of the way and so on.</summary>
    private sealed class CheckpointTrack(ExperimentWorld world, Transformer policy, int steps, int checkpoints)
    {
        private readonly HashSet<int> _at = [.. Enumerable.Range(0, checkpoints).Select(k => Math.Max(1, (int)Math.Round(steps / Math.Pow(2, k))))];
        private readonly List<FrontierPoint> _points = [];

        public FrontierPoint[] Points => [.. _points];

        public void After(int steps)
        {
            if (_at.Contains(steps))
            {
                _points.Add(world.Measure(policy, steps));
            }
        }
    }
}
