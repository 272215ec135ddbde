using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>
/// What all methods of one seed share: the SFT model that they start from, the pairs that they learn from, the prefixes that judge them.
/// Each part is made when it is first asked for; models lie in the seed's folder, and are read from there if they are there.
/// </summary>
internal sealed class ExperimentWorld
{
    /// <summary>The model that every method starts from, among the methods.</summary>
    public const string SftMethod = "SFT";

    // Seeds of the pipeline's own draws lie below.
    private const ulong AnswerSeed = 4, WriterSeed = 5;

    private readonly ExperimentOptions _options;
    private readonly WorldPipeline _pipeline;
    private readonly IBackend _backend;
    private readonly IRunLog _log;
    private readonly CancellationToken _cancellation;
    private readonly Lazy<(Transformer Model, ITokenizer Tokenizer)> _sft;
    private readonly Lazy<WorldPairs> _pairs;
    private readonly Lazy<LearningSet> _ownPairs;
    private readonly Lazy<RewardFunction> _learnedReward;
    private readonly Lazy<(int[] Ids, string Text)[]> _heldOut;
    private readonly Lazy<(double[][] True, double[][] Learned)> _pool;
    private readonly Dictionary<string, Transformer> _policies = [];
    private readonly Lazy<WorldPairs> _curvePairs;
    private readonly Lazy<(WorldPairs Judged, PreferencePair[] Validation)> _heldOutPairs;

    public ExperimentWorld(ExperimentOptions options, ulong seed, IBackend backend, IRunLog log, CancellationToken cancellation)
    {
        (_options, Seed, _backend, _log, _cancellation) = (options, seed, backend, log, cancellation);
        _pipeline = new WorldPipeline(options.Demo with { Seed = seed }, log, cancellation);
        _sft = new(() => LoadOrTrain("sft", TrainSft));
        _pairs = new(() => _pipeline.SamplePairs(Sft, Tokenizer, PrefixSplit.Train, options.Demo.PairPrompts, "sampling pairs"));
        _ownPairs = new(() => Learnable(Pairs));
        _learnedReward = new(LearnReward);
        _heldOut = new(() => _pipeline.Prefixes(Tokenizer, PrefixSplit.HeldOut, options.Demo.HeldOut));
        _pool = new(SamplePool);
        _curvePairs = new(() => _pipeline.SamplePairs(
            Sft, Tokenizer, PrefixSplit.Train, WorldPipeline.PromptsFor(options.LearningCurve[^1]), "sampling the curve's pairs"));
        _heldOutPairs = new(SampleHeldOutPairs);
    }

    public ulong Seed { get; }

    /// <summary>The task.</summary>
    public World World => _options.Demo.World;

    /// <summary>The demonstration's beta.</summary>
    public double Beta => _options.Demo.Beta;

    public Transformer Sft => _sft.Value.Model;

    public ITokenizer Tokenizer => _sft.Value.Tokenizer;

    public PreferencePair[] Pairs => _pairs.Value.Pairs;

    /// <summary>A reward model's scores, less their mean over the completions of the pairs it learnt from.</summary>
    public RewardFunction LearnedReward => _learnedReward.Value;

    /// <summary>The world's reward on the annotator's scale: the scores that a perfect reward model gives, up to a constant.</summary>
    public RewardFunction TrueReward => RewardFunctions.Of(new WorldReward(World), Tokenizer, static reward => Dpo.World.PreferenceScale * (reward - 0.5));

    /// <summary>Many completions of SFT's model at each of some held-out prefixes, with true and learned rewards: [prefixes][completions].</summary>
    public (double[][] True, double[][] Learned) Pool => _pool.Value;

    /// <summary>A method's policy at its end, with the demonstration's beta or the middle target of PPO. Belongs to this world.</summary>
    /// <param name="method">SFT's name, or DPO's, PPO's or Preferred-FT's in <see cref="FrontierArm"/>.</param>
    public Transformer Policy(string method)
    {
        if (!_policies.TryGetValue(method, out var policy))
        {
            _policies[method] = policy = method == SftMethod ? Sft : LoadOrTrain(Path.Combine("policies", method.ToLowerInvariant()), () => (method switch
            {
                FrontierArm.Dpo => TrainOnPairs(method, new DpoLoss(_options.Demo.Beta)),
                FrontierArm.Preferred => TrainOnPairs(method, new SftLoss()),
                FrontierArm.Ppo => TrainPpo(method, _options.PpoTargets[_options.PpoTargets.Length / 2], LearnedReward),
                _ => throw new ArgumentException($"no policy of {method} is kept"),
            }, Tokenizer)).Model;
        }
        return policy;
    }

    /// <summary>The pairs of SFT's own samples, as DPO learns from them.</summary>
    public LearningSet OwnPairs => _ownPairs.Value;

    /// <summary>The first of the pairs, one in <paramref name="divisor"/>, with that many times the passes over them.</summary>
    public LearningSet Fewer(int divisor) =>
        OwnPairs with { Pairs = Pairs[..Math.Max(1, Pairs.Length / divisor)], Epochs = OwnPairs.Epochs * divisor };

    /// <summary>Pairs at the same prompts by the same annotator, of completions from elsewhere.</summary>
    public LearningSet From(PairSource source)
    {
        var prompts = _options.Demo.PairPrompts;
        return Learnable(source.Temperature is { } temperature
            ? _pipeline.SamplePairs(Sft, Tokenizer, PrefixSplit.Train, prompts, $"sampling pairs, {source}", temperature).Pairs
            : _pipeline.WrittenPairs(Tokenizer, prompts, Seed + WriterSeed).Pairs);
    }

    /// <summary>A copy of SFT's model, trained on pairs. The caller frees its weights.</summary>
    /// <param name="after">Called with the policy and the steps made, after each.</param>
    /// <param name="set">What it learns from; null for SFT's own pairs.</param>
    public Transformer TrainOnPairs(string name, IPreferenceLoss loss, Action<Transformer, int>? after = null, LearningSet? set = null)
    {
        set ??= OwnPairs;
        var policy = Sft.Clone();
        var task = new DpoTask(policy, set.Pairs, set.Reference, loss);
        var training = _options.Demo.Dpo with { Epochs = set.Epochs };
        _pipeline.Train($"seed {Seed}: {name}", policy, task, training, loss.AtReference, step => after?.Invoke(policy, step.Step + 1));
        return policy;
    }

    /// <summary>A copy of SFT's model, trained by PPO on the prompts of the pairs. The caller frees its weights.</summary>
    /// <param name="after">Called with the policy and the iterations made, after each.</param>
    public Transformer TrainPpo(string name, double targetKl, RewardFunction reward, Action<Transformer, int>? after = null)
    {
        var policy = Sft.Clone();
        var prompts = _pipeline.Prefixes(Tokenizer, PrefixSplit.Train, _options.Demo.PairPrompts);
        var ppo = _options.Ppo with { TargetKl = targetKl, Seed = Seed, MaxTokens = _options.Demo.MaxTokens };
        _log.Stage($"seed {Seed}: {name}", ppo.Iterations);
        new PpoTrainer(policy, Sft, [.. prompts.Select(static p => p.Ids)], Tokenizer.EosId, reward, ppo).Run(
            report =>
            {
                _log.Advance(report.Iteration + 1, FormattableString.Invariant($"score {report.Reward:0.00}  KL {report.Kl:0.00}"));
                after?.Invoke(policy, report.Iteration + 1);
            },
            _cancellation);
        return policy;
    }

    /// <summary>Steps of a run on a set of pairs.</summary>
    public int StepsOn(LearningSet set) => (_options.Demo.Dpo with { Epochs = set.Epochs }).TotalSteps(set.Pairs.Length);

    /// <summary>One sample of the policy at each held-out prefix: reward and KL(policy || SFT), each half of the prefixes by itself.</summary>
    public FrontierPoint Measure(Transformer policy, int step) => FrontierPoint.Measure(
        policy, Sft, Tokenizer, _heldOut.Value, _pipeline.Generation(Tokenizer, PrefixSplit.HeldOut), new WorldReward(World), step, World.Accepts, _cancellation);

    /// <summary>Held-out prompts, each with the world's own answer.</summary>
    /// <param name="shifted">
    /// Whether a prompt holds the first sentence of that answer too: what SFT has seen, but no preference pair began with.
    /// </param>
    public JudgedPrompt[] JudgedPrompts(bool shifted) =>
    [
        .. _heldOut.Value.Select((prefix, i) =>
        {
            var answer = World.SampleContinuation(prefix.Text, Seed + AnswerSeed, i);
            var cut = shifted ? answer.IndexOf('.') + 1 : 0;
            return new JudgedPrompt([.. prefix.Ids, .. Tokenizer.EncodeContinuation(answer[..cut])], prefix.Text, answer[..cut], answer[cut..], World.Reward(prefix.Text, answer));
        }),
    ];

    /// <summary>One sample at each prompt, scored with what the prompt holds of the review.</summary>
    public ScoredCompletion[] Answer(Transformer policy, IReadOnlyList<JudgedPrompt> prompts, double temperature)
    {
        var generation = _pipeline.Generation(Tokenizer, PrefixSplit.HeldOut) with { Sampling = new SamplingOptions(temperature) };
        var samples = PairSampler.Sample(
            policy, Tokenizer, [.. prompts.Select(static p => (p.Ids, p.Prefix))], 1, generation, new WorldReward(World), cancellation: _cancellation);
        return [.. samples.Select((s, i) => s[0] with { Reward = World.Reward(prompts[i].Prefix, prompts[i].Begun + s[0].Text) })];
    }

    /// <summary>Answers as judges see them.</summary>
    /// <param name="answers">One a prompt, which holds nothing of the review.</param>
    public JudgedAnswer[] Describe(IReadOnlyList<JudgedPrompt> prompts, IReadOnlyList<ScoredCompletion> answers)
    {
        PromptGroup[] groups = [.. answers.Select((a, i) => new PromptGroup(prompts[i].Ids, [[.. Tokenizer.EncodeContinuation(a.Text), Tokenizer.EosId]]))];
        var learned = LearnedReward(groups);
        return
        [
            .. answers.Select((a, i) => new JudgedAnswer(
                a.Text, groups[i].Completions[0].Length, a.Reward, learned[i], a.Ended && World.Accepts(prompts[i].Prefix, a.Text))),
        ];
    }

    /// <summary>
    /// A reward model and a DPO policy that learn from the first <paramref name="count"/> of the curve's pairs, judged on the same held-out
    /// ones.
    /// </summary>
    public RewardCurvePoint LearnFrom(int count)
    {
        var all = _curvePairs.Value.Pairs;
        var pairs = all[..Math.Min(count, all.Length)];
        var (heldOut, _, labels) = _heldOutPairs.Value.Judged;

        var (model, epoch) = TrainRewardModel($"seed {Seed}: the reward model, {pairs.Length} pairs", pairs);
        double[] learned = [.. RewardScores.Measure(model, RewardTask.Rankings(heldOut), cancellation: _cancellation).Select(static s => s[0] - s[1])];
        model.Free();

        var loss = new DpoLoss(_options.Demo.Beta);
        var policy = Sft.Clone();
        var dpo = new DpoTask(policy, pairs, ReferenceLogProbs.Compute(Sft, pairs, cancellation: _cancellation), loss);
        _pipeline.Train($"seed {Seed}: DPO, {pairs.Length} pairs", policy, dpo, _options.Demo.Dpo, DpoLoss.AtReference);
        var (p, r) = (ReferenceLogProbs.Compute(policy, heldOut, cancellation: _cancellation), ReferenceLogProbs.Compute(Sft, heldOut, cancellation: _cancellation));
        double[] implied = [.. heldOut.Select((_, i) => loss.Beta * ((double)p.Chosen[i] - r.Chosen[i] - ((double)p.Rejected[i] - r.Rejected[i])))];
        policy.Free();
        return new RewardCurvePoint(
            pairs.Length, heldOut.Length, WorldPipeline.BayesAccuracy(labels), RewardJudgement.Of(learned, labels), epoch, RewardJudgement.Of(implied, labels));
    }

    private LearningSet Learnable(PreferencePair[] pairs) =>
        new(pairs, ReferenceLogProbs.Compute(Sft, pairs, cancellation: _cancellation), _options.Demo.Dpo.Epochs);

    private (double[][] True, double[][] Learned) SamplePool()
    {
        var prefixes = _pipeline.Prefixes(Tokenizer, PrefixSplit.HeldOut, _options.PoolPrefixes);
        var generation = _pipeline.Generation(Tokenizer, PrefixSplit.HeldOut);
        _log.Stage($"seed {Seed}: the pool for best-of-N", _options.PoolPrefixes * _options.PoolCompletions);
        var pool = PairSampler.Sample(
            Sft, Tokenizer, prefixes, _options.PoolCompletions, generation, new WorldReward(World), n => _log.Advance(n), _cancellation);
        return (
            [.. pool.Select(static completions => completions.Select(static c => c.Reward).ToArray())],
            [.. pool.Select((completions, i) => LearnedReward([.. completions.Select(c => new PromptGroup(prefixes[i].Ids, [c.Tokens]))]))]);
    }

    private (Transformer Model, ITokenizer Tokenizer) LoadOrTrain(string name, Func<(Transformer Model, ITokenizer Tokenizer)> train)
    {
        var folder = Path.Combine(_options.Folder, $"seed-{Seed}", name);
        if (!Directory.Exists(folder))
        {
            var (trained, tokenizer) = train();
            ModelFile.Save(folder, trained, tokenizer);
            trained.Free();
        }
        // Read again even now: a run that goes on later has the very same weights.
        return ModelFile.Load(folder, _backend);
    }

    private (Transformer Model, ITokenizer Tokenizer) TrainSft()
    {
        var tokenizer = _pipeline.TrainTokenizer();
        return (_pipeline.TrainSft(_backend, tokenizer), tokenizer);
    }

    private (WorldPairs Judged, PreferencePair[] Validation) SampleHeldOutPairs()
    {
        var all = _pipeline.SamplePairs(
            Sft, Tokenizer, PrefixSplit.HeldOut, WorldPipeline.PromptsFor(_options.CurveHeldOut + _options.ValidationPairs), "sampling held-out pairs");
        var judged = all.Pairs.Length - Math.Min(_options.ValidationPairs, all.Pairs.Length / 2);
        return (new WorldPairs(all.Pairs[..judged], all.Rows.Take(judged), all.LabelProbabilities[..judged]), all.Pairs[judged..]);
    }

    // The weights after the epoch with the least loss on the validation pairs.
    private (Transformer Model, int Epoch) TrainRewardModel(string stage, PreferencePair[] pairs)
    {
        var validation = _heldOutPairs.Value.Validation;
        var model = Sft.WithScalarHead();
        var best = model.Clone();
        var (bestEpoch, bestLoss) = (0, double.PositiveInfinity);
        var stepsPerEpoch = _options.RewardModel.StepsPerEpoch(pairs.Length);
        _pipeline.Train(
            stage, model, new RewardTask(model, RewardTask.Rankings(pairs)), _options.RewardModel, RankingLoss.AtEqualScores(2),
            step =>
            {
                if ((step.Step + 1) % stepsPerEpoch == 0
                    && RewardEvaluation.Measure(model, validation, cancellation: _cancellation).Loss is var loss && loss < bestLoss)
                {
                    (bestEpoch, bestLoss) = ((step.Step + 1) / stepsPerEpoch, loss);
                    best.Weights.CopyFrom(model.Weights);
                }
            });
        model.Free();
        return (best, bestEpoch);
    }

    private RewardFunction LearnReward()
    {
        var (model, _) = TrainRewardModel($"seed {Seed}: the reward model", Pairs);
        var rankings = RewardTask.Rankings(Pairs);
        var mean = RewardScores.Measure(model, rankings, cancellation: _cancellation).Average(static s => s.Average());
        return completions => [.. RewardScores.Measure(model, completions, cancellation: _cancellation).Select(s => s[0] - mean)];
    }
}
