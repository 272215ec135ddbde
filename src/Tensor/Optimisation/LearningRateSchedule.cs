namespace TinyDpo.Tensors;

/// <summary>What the learning rate does after the warm-up.</summary>
public enum ScheduleKind
{
    Constant,
    Linear,
    Cosine,
}

/// <summary>
/// The learning rate of each step: a linear warm-up from 0, then constant, or down to 0 at the end in a line or a half cosine. The same
/// values as Hugging Face's get_constant_schedule_with_warmup, get_linear_... and get_cosine_schedule_with_warmup.
/// </summary>
/// <param name="Kind">The shape after the warm-up.</param>
/// <param name="Peak">The rate at the end of the warm-up.</param>
/// <param name="WarmupSteps">Steps of warm-up; the first of them has rate 0.</param>
/// <param name="TotalSteps">Steps of the whole run.</param>
public sealed record LearningRateSchedule(ScheduleKind Kind, double Peak, int WarmupSteps, int TotalSteps)
{
    /// <summary>The rate of a step, counted from 0.</summary>
    public double At(int step)
    {
        if (step < WarmupSteps)
        {
            return Peak * step / WarmupSteps;
        }
        var progress = (double)(step - WarmupSteps) / Math.Max(1, TotalSteps - WarmupSteps);
        return Kind switch
        {
            ScheduleKind.Constant => Peak,
            ScheduleKind.Linear => Peak * Math.Max(0, 1 - progress),
            ScheduleKind.Cosine => Peak * Math.Max(0, 0.5 * (1 + Math.Cos(Math.PI * progress))),
            _ => throw new InvalidOperationException($"unknown schedule {Kind}"),
        };
    }
}
