using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>The same policies on the prompts that training had, and on others.</summary>
internal sealed record ShiftResult(WinRatePoint[] Same, WinRatePoint[] Shifted);

/// <summary>The experiments that judge answers by win rates (Rafailov et al. 2023, figures 2 and 3, table 1).</summary>
internal static class WinRateExperiments
{
    // Points of a curve over training, evenly spaced.
    private const int CurvePoints = 8;

    private static readonly string[] s_methods = [ExperimentWorld.SftMethod, FrontierArm.Preferred, FrontierArm.Ppo, FrontierArm.Dpo];
    private static readonly double[] s_temperatures = [0, 0.25, 0.5, 0.75, 1], s_curveTemperatures = [0.7, 1], s_shiftTemperatures = [0, 0.25];

    /// <summary>Every method at temperatures from 0 to 1.</summary>
    public static WinRatePoint[] Temperature(ExperimentWorld world) => Judge(world, shifted: false, s_temperatures);

    /// <summary>DPO along its training.</summary>
    public static WinRatePoint[] TrainingCurve(ExperimentWorld world)
    {
        var prompts = world.JudgedPrompts(shifted: false);
        HashSet<int> at = [.. Enumerable.Range(1, CurvePoints).Select(i => Math.Max(1, i * world.StepsOn(world.OwnPairs) / CurvePoints))];
        List<WinRatePoint> points = [.. At(world.Sft, 0)];
        world.TrainOnPairs(FrontierArm.Dpo, new DpoLoss(world.Beta), (policy, step) =>
        {
            if (at.Contains(step))
            {
                points.AddRange(At(policy, step));
            }
        }).Free();
        return [.. points];

        IEnumerable<WinRatePoint> At(Transformer policy, int step) =>
            s_curveTemperatures.Select(temperature => WinRatePoint.Of(world, FrontierArm.Dpo, policy, prompts, temperature, step));
    }

    /// <summary>Every method on prompts like those of its training and on prompts that hold a first sentence, at low temperatures.</summary>
    public static ShiftResult Shift(ExperimentWorld world) =>
        new(Judge(world, shifted: false, s_shiftTemperatures), Judge(world, shifted: true, s_shiftTemperatures));

    private static WinRatePoint[] Judge(ExperimentWorld world, bool shifted, double[] temperatures)
    {
        var prompts = world.JudgedPrompts(shifted);
        return [.. s_methods.SelectMany(method => temperatures.Select(t => WinRatePoint.Of(world, method, world.Policy(method), prompts, t)))];
    }
}
