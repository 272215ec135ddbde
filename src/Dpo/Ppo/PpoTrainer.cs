using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Dpo;

/// <summary>Scores of completions, one each; every group has one.</summary>
public delegate double[] RewardFunction(IReadOnlyList<PromptGroup> completions);

/// <summary>What one iteration gave; means over its completions, before the iteration's updates.</summary>
/// <param name="Reward">Mean score, without the KL penalty.</param>
/// <param name="Kl">Mean log(pi / pi_ref) in nats a sequence.</param>
/// <param name="KlCoefficient">The one that this iteration used.</param>
/// <param name="Entropy">Mean -log pi of a token.</param>
/// <param name="Clipped">Share of tokens, over all updates, whose ratio had left the clip range.</param>
/// <param name="ValueLoss">Mean squared error of the value function, before the updates.</param>
public sealed record PpoReport(int Iteration, double Reward, double Kl, double KlCoefficient, double Entropy, double Clipped, double ValueLoss);

/// <summary>
/// Proximal policy optimisation of a language model (Schulman et al. 2017) with a KL penalty to a reference for each token, as Ziegler et al.
/// 2019 have it; with <see cref="AdvantageEstimator.LeaveOneOut"/> and one epoch it is RLOO. The value function is a model of its own, which
/// starts from the reference's weights.
/// </summary>
public sealed class PpoTrainer
{
    private readonly Transformer _policy;
    private readonly Transformer _reference;
    private readonly Transformer? _critic;
    private readonly IReadOnlyList<int[]> _prompts;
    private readonly int? _eosId;
    private readonly RewardFunction _reward;
    private readonly PpoOptions _options;
    private readonly Optimiser _policyOptimiser;
    private readonly Optimiser? _criticOptimiser;
    private readonly KlController _kl;

    /// <param name="policy">Trained in place.</param>
    /// <param name="reference">pi_ref, another model.</param>
    /// <param name="prompts">Token ids; each iteration takes the next ones, again from the first when all are used.</param>
    /// <param name="eosId">Ends a completion; null to sample <see cref="PpoOptions.MaxTokens"/>.</param>
    /// <exception cref="ArgumentException">Leave-one-out with one completion a prompt, or rollouts that are no multiple of that number.</exception>
    public PpoTrainer(
        Transformer policy, Transformer reference, IReadOnlyList<int[]> prompts, int? eosId, RewardFunction reward, PpoOptions options)
    {
        var leastSamples = options.Estimator == AdvantageEstimator.LeaveOneOut ? 2 : 1;
        if (options.SamplesPerPrompt < leastSamples || options.Rollouts % options.SamplesPerPrompt != 0)
        {
            throw new ArgumentException(
                $"{options.SamplesPerPrompt} samples a prompt: they must be at least {leastSamples} and divide the {options.Rollouts} rollouts");
        }
        (_policy, _reference, _prompts, _eosId, _reward, _options) = (policy, reference, prompts, eosId, reward, options);
        _kl = new KlController(options.KlCoefficient, options.TargetKl, options.KlGain);
        _policyOptimiser = new AdamW(policy.Weights, weightDecay: 0);
        if (options.Estimator == AdvantageEstimator.Generalized)
        {
            _critic = reference.WithScalarHead();
            _criticOptimiser = new AdamW(_critic.Weights, weightDecay: 0);
        }
    }

    /// <summary>Iterations made so far.</summary>
    public int Iteration { get; private set; }

    /// <summary>Makes all iterations, and calls back after each.</summary>
    /// <exception cref="OperationCanceledException">Stopped between two iterations, or while sampling.</exception>
    /// <exception cref="NonFiniteException">A gradient is not finite.</exception>
    public void Run(Action<PpoReport>? report = null, CancellationToken cancellation = default)
    {
        while (Iteration < _options.Iterations)
        {
            cancellation.ThrowIfCancellationRequested();
            var finished = Iterate(cancellation);
            report?.Invoke(finished);
        }
        _policyOptimiser.Free();
        _criticOptimiser?.Free();
        _critic?.Free();
    }

    private PpoReport Iterate(CancellationToken cancellation)
    {
        var rollouts = Sample(cancellation);
        var coefficient = _kl.Coefficient;
        var targets = RolloutAdvantages.Of(rollouts, coefficient, _options);
        // The rate falls to 0 in a line, so that the last policies are the mean of what was seen, not of the last few samples.
        var rate = 1 - ((double)Iteration / _options.Iterations);
        int clipped = 0, updated = 0;
        for (var epoch = 0; epoch < _options.Epochs; epoch++)
        {
            var order = Philox.Permutation(_options.Seed, RandomPurpose.Shuffle, (Iteration * _options.Epochs) + epoch, rollouts.Length);
            foreach (var miniBatch in order.Chunk(_options.MiniBatchSize))
            {
                clipped += Update(rollouts, targets, miniBatch, rate);
                updated += miniBatch.Sum(i => rollouts[i].Completion.Length);
            }
        }
        var kl = rollouts.Average(static r => r.LogRatio);
        _kl.Update(kl);
        var tokens = rollouts.Sum(static r => r.Completion.Length);
        return new PpoReport(
            Iteration++, rollouts.Average(static r => r.Score), kl, coefficient, -rollouts.Sum(static r => r.LogProbs.Sum()) / tokens,
            (double)clipped / updated,
            rollouts.Zip(targets.Returns, static (r, returns) => r.Values.Zip(returns, static (v, g) => (v - g) * (v - g)).Sum()).Sum() / tokens);
    }

    private Rollout[] Sample(CancellationToken cancellation)
    {
        var fresh = _options.Rollouts / _options.SamplesPerPrompt;
        int[][] prompts =
        [
            .. Enumerable.Range(Iteration * fresh, fresh).SelectMany(i => Enumerable.Repeat(_prompts[i % _prompts.Count], _options.SamplesPerPrompt)),
        ];
        // Every iteration has random numbers of its own: the generator's are addressed by seed, sequence and position.
        var seed = _options.Seed + ((ulong)(Iteration + 1) << 32);
        var samples = Generator.Sample(
            _policy, prompts, new GenerationOptions { MaxTokens = _options.MaxTokens, EosId = _eosId, Seed = seed }, cancellation: cancellation);
        PromptGroup[] groups = [.. samples.Select((s, i) => new PromptGroup(prompts[i], [s.Tokens]))];
        var scores = _reward(groups);
        var logProbs = PerToken(groups, _policy.TokenLogProbs);
        var reference = PerToken(groups, _reference.TokenLogProbs);
        var values = _critic is null ? [.. groups.Select(static g => new double[g.Completions[0].Length])] : PerToken(groups, _critic.Scores);
        return [.. groups.Select((g, i) => new Rollout(g.Prompt, g.Completions[0], scores[i], logProbs[i], reference[i], values[i]))];
    }

    /// <summary>A number for each completion token, without gradients: [groups][tokens].</summary>
    private double[][] PerToken(PromptGroup[] groups, Func<PackedBatch, Tensor> pass)
    {
        var result = new double[groups.Length][];
        foreach (var micro in MicroBatches.Split([.. Enumerable.Range(0, groups.Length)], i => groups[i].Tokens(), _options.TokenBudget))
        {
            using var step = new StepScope(_policy.Backend, gradients: false);
            var numbers = pass(PackedBatch.Pack(_policy.Backend, [.. micro.Select(i => groups[i])])).ToArray().AsSpan();
            foreach (var i in micro)
            {
                var length = groups[i].Completions[0].Length;
                result[i] = Array.ConvertAll(numbers[..length].ToArray(), static x => (double)x);
                numbers = numbers[length..];
            }
        }
        return result;
    }

    /// <summary>One step of both optimisers; gives the number of tokens whose ratio lies outside the clip range.</summary>
    private int Update(Rollout[] rollouts, RolloutAdvantages targets, int[] miniBatch, double rate)
    {
        var backend = _policy.Backend;
        var tokens = miniBatch.Sum(i => rollouts[i].Completion.Length);
        var clipped = 0;
        _policy.Weights.ClearGradients();
        _critic?.Weights.ClearGradients();
        foreach (var micro in MicroBatches.Split(
            miniBatch, i => rollouts[i].Prompt.Length + rollouts[i].Completion.Length, _options.TokenBudget))
        {
            using var step = new StepScope(backend);
            var packed = PackedBatch.Pack(backend, [.. micro.Select(i => new PromptGroup(rollouts[i].Prompt, [rollouts[i].Completion]))]);
            var logProbs = _policy.TokenLogProbs(packed);
            var old = Constant(i => rollouts[i].LogProbs);
            clipped += logProbs.ToArray().Zip(old.ToArray(), (now, before) => Math.Abs(Math.Exp(now - before) - 1) > _options.ClipRange ? 1 : 0).Sum();
            var objective = ClippedObjective.PerToken(logProbs, old, Constant(i => targets.Advantages[i]), _options.ClipRange);
            (-objective.Sum() / tokens).Backward();
            if (_critic is not null)
            {
                (Square(_critic.Scores(packed) - Constant(i => targets.Returns[i])).Sum() / (2 * tokens)).Backward();
            }

            Tensor Constant(Func<int, double[]> numbers)
            {
                Real[] values = [.. micro.SelectMany(numbers).Select(static x => (Real)x)];
                return Tensor.From(backend, Shape.Vector(values.Length), values);
            }
        }
        Step(_policy, _policyOptimiser, rate * _options.LearningRate);
        if (_critic is not null)
        {
            Step(_critic, _criticOptimiser!, rate * _options.ValueLearningRate);
        }
        return clipped;
    }

    private void Step(Transformer model, Optimiser optimiser, double rate) =>
        optimiser.Step(rate, GradientClipping.Scale(model.Weights.GradientNorm(), _options.MaxGradNorm));
}
