using System.Diagnostics;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>One finished step: what metrics.jsonl gets a line of.</summary>
public sealed record StepReport(int Step, int TotalSteps, double Epoch, IReadOnlyList<(string Name, double Value)> Metrics)
{
    public double this[string name] => Metrics.First(m => m.Name == name).Value;
}

/// <summary>
/// Trains: shuffles each epoch, runs batches, clips, updates, writes metrics and checkpoints. A run stopped and resumed makes the same
/// steps as one that never stopped, since every random number is addressed and the state is saved whole.
/// </summary>
public sealed class TrainingRun
{
    private readonly Transformer _model;
    private readonly ITrainingTask _task;
    private readonly TrainingOptions _options;
    private readonly Optimiser _optimiser;
    private readonly BatchOrder _order;
    private readonly LearningRateSchedule _schedule;
    private readonly CheckpointFolder? _checkpoints;
    private double? _peak; // floating-point operations a second that the processor can do
    private long? _tokens; // of the steps made, those before a checkpoint too

    /// <param name="model">Trained in place.</param>
    /// <param name="task">The loss over the examples.</param>
    /// <param name="options">Epochs, rates, sizes.</param>
    /// <param name="checkpoints">Where checkpoints go, or null for none.</param>
    /// <exception cref="InputException">The epochs are more steps than a run can have.</exception>
    public TrainingRun(Transformer model, ITrainingTask task, TrainingOptions options, CheckpointFolder? checkpoints = null)
    {
        (_model, _task, _options, _checkpoints) = (model, task, options, checkpoints);
        (_order, TotalSteps) = (new BatchOrder(options, task.Examples), options.TotalSteps(task.Examples));
        _schedule = new LearningRateSchedule(options.Schedule, options.LearningRate, options.WarmupSteps, TotalSteps);
        _optimiser = options.CreateOptimiser(model.Trained);
        model.GradientCheckpointing = options.GradientCheckpointing;
    }

    public int StepsPerEpoch => _order.StepsPerEpoch;

    public int TotalSteps { get; }

    /// <summary>Steps made so far.</summary>
    public int Step => _optimiser.Steps;

    /// <summary>Goes on from the newest checkpoint that is whole, if there is one; says whether.</summary>
    /// <param name="refused">Told why a damaged one is not taken.</param>
    public bool TryResume(Action<string>? refused = null) =>
        _checkpoints is not null && _checkpoints.TryLoadNewest(_model, _optimiser, _task.State, refused);

    /// <summary>Runs to the end.</summary>
    /// <param name="report">Called after each step.</param>
    /// <param name="firstLoss">
    /// The loss that step 0 must have, where that is known: ln 2 for DPO from its own reference. To 1e-6 of it, or to 1e-3 on a device whose
    /// log-probs depend on the batch in their last digits.
    /// </param>
    /// <param name="cancellation">Stops after the current step, once a checkpoint is written.</param>
    /// <param name="metrics">Gives the lines that a checkpoint holds: <see cref="MetricsFile.Tail"/>. Null for none.</param>
    /// <exception cref="TrainingException">Loss or gradient is not finite, or step 0 has another loss than it must.</exception>
    /// <exception cref="OperationCanceledException">Stopped on request; a checkpoint holds all steps made.</exception>
    public void Run(Action<StepReport>? report = null, double? firstLoss = null, CancellationToken cancellation = default, Func<IReadOnlyList<string>>? metrics = null)
    {
        while (Step < TotalSteps)
        {
            var finished = RunStep(firstLoss); // not inside `?.`, which would skip the step where nobody listens
            report?.Invoke(finished);
            if (cancellation.IsCancellationRequested && Step < TotalSteps)
            {
                Save(metrics);
                throw new OperationCanceledException(cancellation);
            }
            if (_options.CheckpointEvery > 0 && Step % _options.CheckpointEvery == 0 && Step < TotalSteps)
            {
                Save(metrics);
            }
        }
        _optimiser.Free();
    }

    private void Save(Func<IReadOnlyList<string>>? metrics) =>
        _checkpoints?.Save(_model, _optimiser, _options.KeepCheckpoints, _task.State, metrics?.Invoke());

    private StepReport RunStep(double? firstLoss)
    {
        var step = Step;
        var start = Stopwatch.GetTimestamp();
        _model.Trained.ClearGradients();
        var seen = _tokens ?? Enumerable.Range(0, step).Sum(s => (long)_order.Batch(s).Sum(_task.Tokens));
        var result = _task.Accumulate(_order.Batch(step));
        _tokens = seen + result.Tokens;
        Check(step, result.Loss, firstLoss);
        var norm = GradientNorm(step);
        var rate = _schedule.At(step);
        _optimiser.Step(rate, GradientClipping.Scale(norm, _options.MaxGradNorm));
        _task.Updated(Step);
        var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        return new StepReport(step, TotalSteps, (double)(step + 1) / StepsPerEpoch,
        [
            .. result.Metrics,
            ("grad_norm", norm),
            ("learning_rate", rate),
            ("tokens", result.Tokens),
            ("num_tokens", _tokens.Value),
            ("tokens/s", result.Tokens / seconds),
            .. Utilisation(result.Flops, seconds),
        ]);
    }

    /// <summary>mfu, model FLOPs utilisation (Chowdhery et al. 2022), where the operations are counted and the processor's peak can be measured.</summary>
    private IEnumerable<(string Name, double Value)> Utilisation(long? flops, double seconds)
    {
        if (flops is { } needed && _model.Backend is CpuBackend cpu)
        {
            _peak ??= cpu.MeasurePeak();
            yield return ("mfu", needed / seconds / _peak.Value);
        }
    }

    private void Check(int step, double loss, double? firstLoss)
    {
        if (!double.IsFinite(loss))
        {
            throw new TrainingException($"step {step}: the loss is {loss}; {Remedy(step)}");
        }
        // The reference was packed otherwise. Sums in another order move a log-prob by some 1e-6 of it: of 1,000 nats, and times beta, that is
        // below 1e-3 of the loss. Another path (other weights, a token more or less) moves it by whole nats.
        var tolerance = _model.Backend.BatchInvariant ? 1e-6 : 1e-3;
        if (step == 0 && firstLoss is { } expected && Math.Abs(loss - expected) > tolerance * Math.Max(1, Math.Abs(expected)))
        {
            throw new TrainingException(
                $"step 0: the loss is {loss:R} where policy and reference agree and it must be {expected:R}: they do not take the same path");
        }
    }

    private double GradientNorm(int step)
    {
        try
        {
            return _model.Trained.GradientNorm();
        }
        catch (NonFiniteException e)
        {
            throw new TrainingException($"step {step}: {e.Message}; {Remedy(step)}");
        }
    }

    private string Remedy(int step)
    {
        if (step == 0)
        {
            return "no step has changed the weights yet: check them and the data, or give another --loss or --beta";
        }
        var checkpoint = _checkpoints?.Newest() is { } newest ? $"the last good checkpoint is {newest}" : "no checkpoint was written before it";
        return checkpoint + "; try a smaller learning rate";
    }
}

/// <summary>A run that must not go on. The message says what, at which step, and what is left.</summary>
public sealed class TrainingException(string message) : Exception(message);
