using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>
/// The main job in one go: a transformer learns to write film reviews from scratch (SFT), its own samples are judged by the known reward
/// of the world, it learns from those preferences (DPO), and both are measured on prefixes that neither training saw.
/// </summary>
public sealed class DemoRun
{
    // Pairs, and samples, in the report.
    private const int ReportedExamples = 8;

    // Of the KL's curve: how often it is measured while DPO trains, and on how many held-out pairs.
    private const int KlPoints = 16, KlPairs = 64;

    private readonly DemoOptions _options;
    private readonly IBackend _backend;
    private readonly IRunLog _log;
    private readonly CancellationToken _cancellation;
    private readonly WorldPipeline _pipeline;
    private readonly DemoFolder _folder;

    private DemoRun(DemoOptions options, IBackend backend, IRunLog log, CancellationToken cancellation)
    {
        (_options, _backend, _log, _cancellation) = (options, backend, log, cancellation);
        _pipeline = new WorldPipeline(options, log, cancellation);
        _folder = new DemoFolder(options);
    }

    /// <summary>Runs everything and writes OUT/options.json, OUT/metrics.jsonl, OUT/summary.json, OUT/examples.json, OUT/report.html and
    /// OUT/model/; and what the other commands can go on with: OUT/sft/, OUT/pairs.jsonl and OUT/held-out.txt.</summary>
    /// <exception cref="InputException">OUT cannot be written, or holds what no demonstration wrote.</exception>
    public static DemoReport Run(DemoOptions options, IBackend backend, IRunLog log, CancellationToken cancellation = default) =>
        new DemoRun(options, backend, log, cancellation).Run();

    private DemoReport Run()
    {
        using var metrics = new MetricsFile(_folder.Metrics);
        var tokenizer = _pipeline.TrainTokenizer();
        var policy = _pipeline.TrainSft(_backend, tokenizer, report => metrics.Write(report, "sft"));
        ModelFile.Save(_folder.Sft, policy, tokenizer);
        var sft = policy.Clone();
        var heldOut = _pipeline.SamplePairs(sft, tokenizer, PrefixSplit.HeldOut, _options.HeldOut / 4, "sampling held-out pairs");
        TrainDpo(policy, sft, tokenizer, heldOut.Pairs, metrics);
        ModelFile.Save(_folder.Model, policy, tokenizer);
        var report = Evaluate(policy, sft, tokenizer, heldOut);
        AtomicFile.WriteText(_folder.Summary, report.ToJson());
        RunReport.Write([_options.Out], _folder.Report, _backend);
        return report;
    }

    private void TrainDpo(Transformer policy, Transformer sft, ByteLevelTokenizer tokenizer, PreferencePair[] heldOut, MetricsFile metrics)
    {
        var (pairs, rows, _) = _pipeline.SamplePairs(policy, tokenizer, PrefixSplit.Train, _options.PairPrompts, "sampling pairs");
        PairWriter.Write(_folder.Pairs, rows);
        _log.Stage("the reference's log-probs", pairs.Length);
        var reference = ReferenceLogProbs.Compute(policy, pairs, done: n => _log.Advance(n), cancellation: _cancellation);
        PreferencePair[] measured = [.. OneOfEachPrompt(heldOut).Take(KlPairs)];
        var (steps, stepsPerEpoch) = (_options.Dpo.TotalSteps(pairs.Length), _options.Dpo.StepsPerEpoch(pairs.Length));
        Measure(0);
        _pipeline.Train(
            "DPO", policy, new DpoTask(policy, pairs, reference, new DpoLoss(_options.Beta)), _options.Dpo, DpoLoss.AtReference,
            report =>
            {
                metrics.Write(report, "dpo");
                var done = report.Step + 1;
                if (done % Math.Max(1, steps / KlPoints) == 0 || done == steps)
                {
                    Measure(done);
                }
            });

        void Measure(int done) => metrics.Write(
            done,
            [
                ("epoch", (double)done / stepsPerEpoch),
                .. TokenStatistics.Measure(policy, measured, reference: sft, cancellation: _cancellation).Metrics.Select(static m => ("eval_" + m.Name, m.Value)),
            ],
            "dpo");
    }

    private DemoReport Evaluate(Transformer policy, Transformer sft, ByteLevelTokenizer tokenizer, WorldPairs heldOut)
    {
        var prefixes = _pipeline.Prefixes(tokenizer, PrefixSplit.HeldOut, _options.HeldOut);
        AtomicFile.WriteText(_folder.HeldOut, string.Concat(prefixes.Select(static p => p.Text + "\n")));
        var generation = _pipeline.Generation(tokenizer, PrefixSplit.HeldOut) with { Seed = _options.Seed + 1 };
        var comparison = PolicyComparison.Measure(policy, sft, tokenizer, prefixes, generation, new WorldReward(_options.World), _log, _cancellation);
        var (pairs, _, labels) = heldOut;
        _log.Stage("held-out reward accuracy", 2 * pairs.Length);
        var reference = ReferenceLogProbs.Compute(sft, pairs, done: n => _log.Advance(n), cancellation: _cancellation);
        var evaluation = PairEvaluation.Measure(
            policy, pairs, reference, new DpoLoss(_options.Beta), done: n => _log.Advance(pairs.Length + n), cancellation: _cancellation);
        var report = new DemoReport(comparison, evaluation.Accuracy!.Value, WorldPipeline.BayesAccuracy(labels), [.. prefixes.Select(static p => p.Text)]);
        var samples = report.Examples(ReportedExamples).Select(static e => new SampleChange(e.Prefix, e.Sft.Text.Trim(), e.Dpo.Text.Trim()));
        PreferencePair[] shown = [.. OneOfEachPrompt(pairs).Take(ReportedExamples)];
        new RunExamples(RunExamples.Tokens(policy, sft, tokenizer, shown), [.. samples]).Write(_options.Out);
        return report;
    }

    // Six pairs share a prompt.
    private static IEnumerable<PreferencePair> OneOfEachPrompt(IEnumerable<PreferencePair> pairs) => pairs.DistinctBy(static p => p.Prompt);
}
