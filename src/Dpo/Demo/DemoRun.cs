using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>
/// The main job in one go: a transformer learns to write film reviews from scratch (SFT), its own samples are judged by the known reward
/// of the world, it learns from those preferences (DPO), and both are measured on prefixes that neither training saw.
/// </summary>
public sealed class DemoRun
{
    // Reviews that the tokenizer is trained on; their indices are those of the first SFT reviews.
    private const int TokenizerReviews = 2000;

    // Pairs, and samples, in the report.
    private const int ReportedExamples = 8;

    private readonly DemoOptions _options;
    private readonly IBackend _backend;
    private readonly IRunLog _log;
    private readonly CancellationToken _cancellation;

    private DemoRun(DemoOptions options, IBackend backend, IRunLog log, CancellationToken cancellation) =>
        (_options, _backend, _log, _cancellation) = (options, backend, log, cancellation);

    /// <summary>Runs everything and writes OUT/metrics.jsonl, OUT/summary.json, OUT/examples.json, OUT/report.html and OUT/model/.</summary>
    /// <exception cref="InputException">OUT cannot be written.</exception>
    public static DemoReport Run(DemoOptions options, IBackend backend, IRunLog log, CancellationToken cancellation = default)
    {
        AtomicFile.RequireWritableFolder(options.Out);
        return new DemoRun(options, backend, log, cancellation).Run();
    }

    private DemoReport Run()
    {
        using var metrics = new MetricsFile(Path.Combine(_options.Out, MetricsFile.Name));
        var tokenizer = TrainTokenizer();
        var policy = TrainSft(tokenizer, metrics);
        var sft = policy.Clone();
        TrainDpo(policy, tokenizer, metrics);
        ModelFile.Save(Path.Combine(_options.Out, "model"), policy, tokenizer);
        var report = Evaluate(policy, sft, tokenizer);
        AtomicFile.WriteText(Path.Combine(_options.Out, "summary.json"), report.ToJson());
        RunReport.Write([_options.Out], Path.Combine(_options.Out, RunReport.FileName), _backend);
        return report;
    }

    private ByteLevelTokenizer TrainTokenizer()
    {
        _log.Stage("training the tokenizer", 1);
        var text = string.Join('\n', Enumerable.Range(0, TokenizerReviews).Select(i => ReviewWorld.SampleReview(_options.Seed, i)));
        return BytePairTrainer.Train(text, _options.VocabSize, ["<|endoftext|>"]);
    }

    private Transformer TrainSft(ByteLevelTokenizer tokenizer, MetricsFile metrics)
    {
        var model = new Transformer(
            new ModelConfig
            {
                VocabSize = tokenizer.VocabSize,
                HiddenSize = _options.HiddenSize,
                Layers = _options.Layers,
                Heads = _options.Heads,
                KeyValueHeads = _options.Heads,
                HeadSize = _options.HiddenSize / _options.Heads,
                IntermediateSize = _options.IntermediateSize,
                MaxPositions = 128,
                RopeTheta = 10000,
                NormEpsilon = 1e-5,
                TieEmbeddings = true,
            }.Validated("demo"),
            _backend);
        model.Initialise(_options.Seed);
        SftExample[] examples =
        [
            .. Enumerable.Range(0, _options.SftReviews).Select(i =>
            {
                var (prefix, continuation) = ReviewWorld.Sample(_options.Seed, i);
                return new SftExample(i, tokenizer.Encode(prefix), [.. tokenizer.EncodeContinuation(continuation), tokenizer.EosId]);
            }),
        ];
        Train("SFT", model, new SftTask(model, examples), _options.Sft, null, metrics);
        return model;
    }

    private void TrainDpo(Transformer policy, ByteLevelTokenizer tokenizer, MetricsFile metrics)
    {
        var pairs = SamplePairs(policy, tokenizer, PrefixSplit.Train, _options.PairPrompts, "sampling pairs").Pairs;
        _log.Stage("the reference's log-probs", pairs.Length);
        var reference = ReferenceLogProbs.Compute(policy, pairs, done: n => _log.Advance(n), cancellation: _cancellation);
        Train("DPO", policy, new DpoTask(policy, pairs, reference, new DpoLoss(_options.Beta)), _options.Dpo, DpoLoss.AtReference, metrics);
    }

    private void Train(string stage, Transformer model, ITrainingTask task, TrainingOptions options, double? firstLoss, MetricsFile metrics)
    {
        var run = new TrainingRun(model, task, options with { Seed = _options.Seed });
        _log.Stage(stage, run.TotalSteps);
        run.Run(
            report =>
            {
                metrics.Write(report, stage.ToLowerInvariant());
                _log.Advance(report.Step + 1, ProgressLine.Of(report));
            },
            firstLoss, _cancellation);
    }

    /// <summary>Pairs of the model's own samples, labelled by Bradley-Terry on the true reward, and the best accuracy that any judge can have on them.</summary>
    private (PreferencePair[] Pairs, double BayesAccuracy) SamplePairs(
        Transformer model, ByteLevelTokenizer tokenizer, PrefixSplit split, int prompts, string stage)
    {
        _log.Stage(stage, prompts * 4);
        var prefixes = Prefixes(tokenizer, split, prompts);
        var options = new PairSamplerOptions { Pairing = Pairing.All, Labelling = Labelling.BradleyTerry, Generation = Generation(tokenizer, split) };
        var completions = PairSampler.Sample(
            model, tokenizer, prefixes, options.CompletionsPerPrompt, options.Generation, new WorldReward(), n => _log.Advance(n), _cancellation);
        SampledPair[] sampled = [.. PairSampler.Pair(completions, options)];
        var bayes = sampled.Average(static p =>
        {
            var probability = ReviewWorld.PreferenceProbability(p.Chosen.Reward, p.Rejected.Reward);
            return Math.Max(probability, 1 - probability);
        });
        return ([.. sampled.Select((p, i) => new PreferencePair(i, prefixes[p.Prompt].Ids, p.Chosen.Tokens, p.Rejected.Tokens))], bayes);
    }

    private DemoReport Evaluate(Transformer policy, Transformer sft, ByteLevelTokenizer tokenizer)
    {
        var prefixes = Prefixes(tokenizer, PrefixSplit.HeldOut, _options.HeldOut);
        var generation = Generation(tokenizer, PrefixSplit.HeldOut) with { Seed = _options.Seed + 1 };
        var comparison = PolicyComparison.Measure(policy, sft, tokenizer, prefixes, generation, new WorldReward(), _log, _cancellation);
        var (pairs, bayes) = SamplePairs(sft, tokenizer, PrefixSplit.HeldOut, _options.HeldOut / 4, "sampling held-out pairs");
        _log.Stage("held-out reward accuracy", 2 * pairs.Length);
        var reference = ReferenceLogProbs.Compute(sft, pairs, done: n => _log.Advance(n), cancellation: _cancellation);
        var evaluation = PairEvaluation.Measure(
            policy, pairs, reference, new DpoLoss(_options.Beta), done: n => _log.Advance(pairs.Length + n), cancellation: _cancellation);
        var report = new DemoReport(comparison, evaluation.Accuracy, bayes, [.. prefixes.Select(static p => p.Text)]);
        var samples = report.Examples(ReportedExamples).Select(static e => new SampleChange(e.Prefix, e.Sft.Text.Trim(), e.Dpo.Text.Trim()));
        // Six pairs share a prompt: one of each.
        PreferencePair[] shown = [.. pairs.DistinctBy(static p => p.Prompt).Take(ReportedExamples)];
        new RunExamples(RunExamples.Tokens(policy, sft, tokenizer, shown), [.. samples]).Write(_options.Out);
        return report;
    }

    private (int[] Ids, string Text)[] Prefixes(ByteLevelTokenizer tokenizer, PrefixSplit split, int count) =>
    [
        .. Enumerable.Range(0, count).Select(i => ReviewWorld.SamplePrefix(_options.Seed + 2, i, split)).Select(text => (tokenizer.Encode(text), text)),
    ];

    private GenerationOptions Generation(ByteLevelTokenizer tokenizer, PrefixSplit split) =>
        new() { MaxTokens = _options.MaxTokens, EosId = tokenizer.EosId, Seed = _options.Seed + (split == PrefixSplit.Train ? 0UL : 3) };
}
