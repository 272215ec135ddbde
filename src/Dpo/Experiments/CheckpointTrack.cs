using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>Measures a policy along its training: at the end, and at 1/2, 1/4, 1/8 of the way and so on.</summary>
internal sealed class CheckpointTrack(Func<Transformer, int, FrontierPoint> measure, int steps, int checkpoints)
{
    private readonly HashSet<int> _at = [.. Enumerable.Range(0, checkpoints).Select(k => Math.Max(1, (int)Math.Round(steps / Math.Pow(2, k))))];
    private readonly List<FrontierPoint> _points = [];

    /// <summary>Trains, and gives what was measured.</summary>
    /// <param name="train">Gives the policy at its end; calls back after each step.</param>
    public FrontierPoint[] Follow(Func<Action<Transformer, int>, Transformer> train)
    {
        train((policy, made) =>
        {
            if (_at.Contains(made))
            {
                _points.Add(measure(policy, made));
            }
        }).Free();
        return [.. _points];
    }
}
