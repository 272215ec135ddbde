using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>A training run that a log follows.</summary>
internal static class TrainingStage
{
    /// <param name="firstLoss">What step 0 must give, where that is known.</param>
    /// <param name="report">Called after each step.</param>
    public static void Run(
        IRunLog log, string name, Transformer model, ITrainingTask task, TrainingOptions training, double? firstLoss = null,
        Action<StepReport>? report = null, CancellationToken cancellation = default)
    {
        var run = new TrainingRun(model, task, training);
        log.Stage(name, run.TotalSteps);
        run.Run(
            step =>
            {
                report?.Invoke(step);
                log.Advance(step.Step + 1, ProgressLine.Of(step));
            },
            firstLoss, cancellation);
    }
}
