using System.Globalization;
using System.Text.Json;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>
/// Reward against KL for a pretrained model and a reward of texts (Rafailov et al. 2023, section 6.1, figure 2, left, with a lexicon for the
/// sentiment classifier). The reward is the truth that pairs are ranked by and PPO is given: PPO is the paper's PPO-GT.
/// </summary>
public sealed class SentimentRun
{
    /// <summary>As on the command line.</summary>
    public const string Name = "sentiment";

    // The reward lies in (-1, 1): in units in which a KL coefficient of 0.5 is moderate.
    private const double PpoScale = 4;

    private readonly SentimentOptions _options;
    private readonly ulong _seed;
    private readonly IRunLog _log;
    private readonly CancellationToken _cancellation;
    private readonly Transformer _model;
    private readonly ITokenizer _tokenizer;
    private readonly IReadOnlyList<(int[] Ids, string Text)> _prompts;
    private readonly IReadOnlyList<(int[] Ids, string Text)> _heldOut;
    private readonly Lazy<LearningSet> _pairs;
    private readonly Lazy<double[][]> _pool;

    private SentimentRun(SentimentOptions options, ulong seed, IBackend backend, IRunLog log, CancellationToken cancellation)
    {
        (_options, _seed, _log, _cancellation) = (options, seed, log, cancellation);
        (_model, _tokenizer) = ModelFile.Load(options.Model, backend, options.Tokenizer);
        (_prompts, _heldOut) = (PromptSet.Read(options.Prompts, _tokenizer, _model.Config), PromptSet.Read(options.HeldOut, _tokenizer, _model.Config));
        if (_heldOut.Count < 2)
        {
            throw new InputException(options.HeldOut, null, "holds one prompt, and settings are chosen on one half of them and measured on the other", "give two or more");
        }
        _pairs = new(SamplePairs);
        _pool = new(SamplePool);
    }

    /// <summary>Makes what is missing, writes OUT/sentiment.md and OUT/sentiment.html; a run's result is OUT/seed-N/sentiment/RUN.json.</summary>
    /// <exception cref="InputException">Bad input; OUT cannot be written, or holds runs with other settings.</exception>
    public static ExperimentReport Run(SentimentOptions options, IBackend backend, IRunLog log, CancellationToken cancellation = default)
    {
        AtomicFile.RequireWritableFolder(options.Out);
        var runs = Enumerable.Range(1, options.Seeds).SelectMany(seed => new SentimentRun(options, (ulong)seed, backend, log, cancellation).Runs()).ToList();
        var report = FrontierReport.Of(Name, runs, options.KlBounds);
        report.Write(options.Out);
        return report;
    }

    private IEnumerable<FrontierRun> Runs()
    {
        var settings = TokenHash.Of(JsonSerializer.Serialize(_options with { Out = "", Seeds = 0 }));
        return
        [
            .. _options.DpoBetas.Select(beta => Made(FrontierArm.Dpo, "beta " + Number(beta), name => OnPairs(name, new DpoLoss(beta)))),
            .. _options.PpoTargets.Select(target => Made(FrontierArm.PpoTrue, "target " + Number(target), name => WithPpo(name, target))),
            Made(FrontierArm.Preferred, "", name => OnPairs(name, new SftLoss())),
            Made(FrontierArm.BestOfTrue, "", _ => BestOfN.Points(_pool.Value, _pool.Value)),
            Made(FrontierArm.Ceiling, "", _ => RewardCeiling.Points(_pool.Value)),
        ];

        FrontierRun Made(string method, string setting, Func<string, FrontierPoint[]> make)
        {
            _cancellation.ThrowIfCancellationRequested();
            var name = $"{method} {setting}".Trim();
            var file = name.ToLowerInvariant().Replace(' ', '-') + ".json";
            return RunStore.LoadOrMake(Path.Combine(_options.Out, $"seed-{_seed}", Name, file), settings, () =>
            {
                _log.Note($"seed {_seed} of {_options.Seeds}: {Name}, {name}");
                return new FrontierRun(method, setting, _seed, make(name));
            });
        }

        static string Number(double value) => value.ToString(CultureInfo.InvariantCulture);
    }

    private FrontierPoint[] OnPairs(string name, IPreferenceLoss loss)
    {
        var (set, policy) = (_pairs.Value, _model.Clone());
        return new CheckpointTrack(Measure, _options.Training.TotalSteps(set.Pairs.Length), _options.Checkpoints).Follow(after =>
        {
            TrainingStage.Run(
                _log, $"seed {_seed}: {name}", policy, new DpoTask(policy, set.Pairs, set.Reference, loss), _options.Training with { Seed = _seed },
                loss.AtReference, step => after(policy, step.Step + 1), _cancellation);
            return policy;
        });
    }

    private FrontierPoint[] WithPpo(string name, double target)
    {
        var ppo = _options.Ppo with { TargetKl = target, Seed = _seed, MaxTokens = _options.MaxTokens };
        return new CheckpointTrack(Measure, ppo.Iterations, _options.Checkpoints).Follow(after =>
        {
            _log.Stage($"seed {_seed}: {name}", ppo.Iterations);
            var policy = _model.Clone();
            var reward = RewardFunctions.Of(_options.Reward, _tokenizer, static reward => PpoScale * reward);
            new PpoTrainer(policy, _model, [.. _prompts.Select(static p => p.Ids)], _tokenizer.EosId, reward, ppo).Run(
                report =>
                {
                    _log.Advance(report.Iteration + 1, FormattableString.Invariant($"score {report.Reward:0.00}  KL {report.Kl:0.00}"));
                    after(policy, report.Iteration + 1);
                },
                _cancellation);
            return policy;
        });
    }

    private FrontierPoint Measure(Transformer policy, int step) =>
        FrontierPoint.Measure(policy, _model, _tokenizer, _heldOut, Generation(1), _options.Reward, step, accepts: null, _cancellation);

    private GenerationOptions Generation(ulong draw) => new() { MaxTokens = _options.MaxTokens, EosId = _tokenizer.EosId, Seed = (3 * _seed) + draw };

    private LearningSet SamplePairs()
    {
        _log.Stage($"seed {_seed}: sampling pairs", _prompts.Count * _options.Completions);
        var options = new PairSamplerOptions { Pairing = Pairing.All, Generation = Generation(0) };
        var completions = PairSampler.Sample(
            _model, _tokenizer, _prompts, _options.Completions, options.Generation, _options.Reward, n => _log.Advance(n), _cancellation);
        PreferencePair[] pairs =
            [.. PairSampler.Pair(completions, options).Select((p, i) => new PreferencePair(i, _prompts[p.Prompt].Ids, p.Chosen.Tokens, p.Rejected.Tokens))];
        return pairs.Length > 0
            ? new LearningSet(pairs, ReferenceLogProbs.Compute(_model, pairs, cancellation: _cancellation), _options.Training.Epochs)
            : throw new InputException(_options.Prompts, null, "gave no two completions of different reward", "give more prompts, or another reward");
    }

    private double[][] SamplePool()
    {
        var prompts = _heldOut.Take(_options.PoolPrompts).ToList();
        _log.Stage($"seed {_seed}: the pool for best-of-N", prompts.Count * _options.PoolCompletions);
        var pool = PairSampler.Sample(
            _model, _tokenizer, prompts, _options.PoolCompletions, Generation(2), _options.Reward, n => _log.Advance(n), _cancellation);
        return [.. pool.Select(static completions => completions.Select(static c => c.Reward).ToArray())];
    }
}
