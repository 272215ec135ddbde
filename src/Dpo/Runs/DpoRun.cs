using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>What `tinydpo dpo` is asked for.</summary>
public sealed record DpoRunOptions
{
    public required string Model { get; init; }

    public string? Tokenizer { get; init; }

    /// <summary>Another reference than the model itself; null for the model.</summary>
    public string? Reference { get; init; }

    public required string Data { get; init; }

    /// <summary>Held-out pairs, measured before and after as eval_* in metrics.jsonl; null for none.</summary>
    public string? EvalData { get; init; }

    /// <summary>Steps after which they are measured again, each time so many; 0 for before and after alone.</summary>
    public int EvalEvery { get; init; }

    public required string Out { get; init; }

    public bool Resume { get; init; }

    /// <summary>Whether the run is walked through and nothing is written, for <see cref="RunNeeds.Of"/>.</summary>
    public bool DryRun { get; init; }

    /// <summary>A folder for a TensorBoard event file; null for none.</summary>
    public string? TensorBoard { get; init; }

    /// <summary>Told of every step; null for none.</summary>
    public LiveReport? Live { get; init; }

    public IPreferenceLoss Loss { get; init; } = new DpoLoss();

    /// <summary>How the reference follows the policy; null for one that stands still.</summary>
    public ReferenceSync? Sync { get; init; }

    public TrainingOptions Training { get; init; } = new();

    public int? MaxLength { get; init; }

    /// <summary>How conversations become text; null for the tokenizer's own template.</summary>
    public ChatTemplate? Template { get; init; }

    public int? MaxPromptLength { get; init; }

    public int TokenBudget { get; init; } = SftTask.DefaultTokenBudget;

    /// <summary>What options.json holds.</summary>
    internal object Recorded() => new
    {
        Command = "dpo",
        Model,
        Tokenizer,
        Reference,
        Data,
        EvalData,
        EvalEvery,
        Loss = Loss.ToString(),
        Sync,
        Training,
        MaxLength,
        MaxPromptLength,
        TokenBudget,
    };
}

/// <summary>Preference training of a model from files: data in, OUT/metrics.jsonl, checkpoints and OUT/model out.</summary>
public static class DpoRun
{
    /// <exception cref="InputException">Bad input, with file and place.</exception>
    /// <exception cref="TrainingException">A number is not finite, or step 0 has not the loss that it must.</exception>
    public static TrainingResult Run(DpoRunOptions options, IBackend backend, IRunLog log, CancellationToken cancellation)
    {
        var (policy, tokenizer) = ModelFile.Load(options.Model, backend, options.Tokenizer);
        RunChecks.RequireWhole(policy, options.Model);
        var ownBytes = backend.Memory.OutstandingBytes;
        var reference = options.Reference is null ? policy : ModelFile.LoadWeights(options.Reference, backend);
        var referencePath = options.Reference ?? options.Model;
        RunChecks.RequireSameVocabulary(policy, reference, referencePath);
        var (read, summary) = ReadPairs(options.Data);
        using var pairs = read;
        log.Note(summary.Describe());
        RunChecks.RequirePairsFor(options.Loss, pairs, options.Data);
        _ = options.Training.TotalSteps(pairs.Count); // too many are refused before the reference's pass
        using var heldOut = options.EvalData is null ? null : ReadHeldOut(options.EvalData);
        var fingerprint = ModelFile.Fingerprint(reference);
        var policyFingerprint = reference == policy ? fingerprint : ModelFile.Fingerprint(policy);
        var folder = new RunFolder(options.Out, options.Resume, new
        {
            Policy = policyFingerprint,
            Data = ReferenceCache.Key(fingerprint, tokenizer.Fingerprint, pairs),
            Loss = options.Loss.ToString(), // a record's text: its name and every parameter
            Training = options.Training.Key(),
            options.TokenBudget,
            options.Sync,
        }, options.Recorded(), options.Training.MaxShardBytes, options.DryRun);

        // The reference is the policy as it is now, so this must come before a checkpoint changes the weights.
        var positions = Math.Min(policy.Config.MaxPositions, reference.Config.MaxPositions);
        var moving = options.Sync is null ? null : Moving(options.Sync);
        IReferenceSource source = moving is null ? StandingReference() : moving;
        var referenceBytes = backend.Memory.OutstandingBytes - ownBytes;
        var heldOutLogProbs = heldOut is null || moving is not null ? null : RunChecks.RequireFinite(
            ReferenceLogProbs.OfReference(reference, heldOut, options.Loss, positions, options.TokenBudget, cancellation: cancellation),
            heldOut, referencePath, options.EvalData!);

        var task = new DpoTask(policy, pairs, source, options.Loss, options.TokenBudget);
        double? firstLoss = policyFingerprint == fingerprint && summary.Unpaired == 0 ? options.Loss.AtReference : null;
        var evaluation = folder.Train(
            policy, tokenizer, task, options.Training, firstLoss, log, cancellation, options.TensorBoard, options.Live,
            heldOut is null ? null : () => Evaluate(heldOut, heldOutLogProbs ?? moving!.Of(heldOut, cancellation)), options.EvalEvery);
        log.Stage("examples for the report", 1);
        var start = (moving is null ? Kept() : null) ?? ModelFile.LoadWeights(referencePath, backend);
        var examples = RunExamples.Of(policy, start, tokenizer, heldOut ?? pairs, options.Training.Seed, cancellation);
        if (folder.Needs is { } needs)
        {
            return new TrainingResult(folder.ModelPath, summary, []) { Needs = needs with { Parameters = needs.Parameters - referenceBytes, Reference = referenceBytes } };
        }
        examples.Write(options.Out);
        return new TrainingResult(folder.ModelPath, summary, evaluation);

        IReferenceSource StandingReference()
        {
            // Few steps come to few pairs, and nobody asks for the others.
            var reached = new BatchOrder(options.Training, pairs.Count).Reached();
            var asked = Reached(pairs);
            var known = RunChecks.RequireFinite(
                ReferenceCache.LoadOrCompute(
                    options.DryRun ? null : folder.PathOf(ReferenceCache.FileName), reference, fingerprint, tokenizer, asked, log, options.TokenBudget, cancellation,
                    options.Loss.TailWeight) with
                {
                    Mismatched = options.Loss.Inputs.HasFlag(LossInputs.Mismatched)
                        ? MismatchedPairs.Under(reference, Reached(MismatchedPairs.Of(pairs, positions)), options.TokenBudget, cancellation)
                        : null,
                },
                asked, referencePath, options.Data);
            return reached is null ? known : new ReachedReference(known, reached);

            IReadOnlyList<PreferencePair> Reached(IReadOnlyList<PreferencePair> all) =>
                reached is null ? all : new MappedList<PreferencePair>(reached.Length, i => all[reached[i]]);
        }

        MovingReference Moving(ReferenceSync sync)
        {
            if (File.Exists(folder.PathOf(ReferenceCache.FileName)))
            {
                throw new InputException(
                    folder.PathOf(ReferenceCache.FileName), null, "holds log-probs of a reference that stands still", "delete it, give another --out, or leave out --sync-reference");
            }
            RunChecks.RequireSameParameters(policy, reference, referencePath);
            return new MovingReference(policy, reference == policy ? policy.Clone() : reference, pairs, options.Loss, sync, positions, options.TokenBudget);
        }

        (string Name, double Value)[] Evaluate(IReadOnlyList<PreferencePair> pairs, ReferenceLogProbs logProbs)
        {
            log.Stage("held-out pairs", pairs.Count);
            var measured = PairEvaluation.Measure(policy, pairs, logProbs, options.Loss, options.TokenBudget, n => log.Advance(n), cancellation);
            var tokens = TokensOf(pairs);
            return double.IsFinite(measured.Loss)
                ? [("eval_loss", measured.Loss), .. measured.Metrics.Concat(tokens.Metrics).Select(static m => ("eval_" + m.Name, m.Value))]
                : throw new TrainingException($"the loss on {options.EvalData} is {measured.Loss}; try a smaller learning rate");
        }

        // The reference, where training leaves it as it was; null where it is the policy itself, unless adapters alone are trained and not merged.
        Transformer? Kept() => reference != policy || policy.Adapters is not null ? reference : null;

        TokenStatistics TokensOf(IReadOnlyList<PreferencePair> pairs)
        {
            var kept = moving?.Model ?? Kept();
            var beside = kept ?? ModelFile.LoadWeights(referencePath, backend);
            try
            {
                return TokenStatistics.Measure(policy, pairs, options.TokenBudget, beside, cancellation);
            }
            finally
            {
                if (kept is null)
                {
                    beside.Free();
                }
            }
        }

        TokenRows<PreferencePair> ReadHeldOut(string path)
        {
            var (rows, heldOutSummary) = ReadPairs(path);
            log.Note($"held-out: {heldOutSummary.Describe()}");
            RunChecks.RequirePairsFor(options.Loss, rows, path);
            return rows;
        }

        (TokenRows<PreferencePair> Pairs, PreferenceSummary Summary) ReadPairs(string path) => PreferenceData.Read(path, tokenizer, new PreferenceDataOptions
        {
            MaxLength = Math.Min(options.MaxLength ?? int.MaxValue, Math.Min(policy.Config.MaxPositions, reference.Config.MaxPositions)),
            MaxPromptLength = options.MaxPromptLength,
            Template = options.Template,
            ScratchFolder = options.Out,
            VocabSize = policy.Config.VocabSize,
        });
    }
}
