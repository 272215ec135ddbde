namespace TinyDpo.Dpo;

/// <summary>A smooth function of a softmax's logits, which do not change it when they all move together.</summary>
internal interface IObjective
{
    /// <summary>What a difference of logits is at most multiplied by to become a margin.</summary>
    double Scale { get; }

    double Value(double[] logits);

    /// <summary>Value, gradient [count], and Hessian [count, count] or a positive stand-in for it.</summary>
    (double Value, double[] Gradient, double[] Hessian) Derivatives(double[] logits);
}

/// <summary>
/// Newton's method with backtracking. Gradient descent does not get there: curvatures differ as the probabilities of answers do, by many
/// orders of magnitude.
/// </summary>
internal static class Newton
{
    private const int MostSteps = 100;

    // In one step no margin moves further: the curvature of log sigmoid changes by a factor of e^2 at most that far. Without the limit a
    // whole step can end where it is flat, and no later one comes back.
    private const double LongestMove = 2;

    /// <summary>Where the objective is least.</summary>
    /// <param name="objective">What to minimise.</param>
    /// <param name="start">The first logits.</param>
    /// <param name="free">The logits to move. The one of largest curvature stays, since only differences count.</param>
    /// <param name="cancellation">Asked before every step.</param>
    public static double[] Minimise(IObjective objective, double[] start, int[] free, CancellationToken cancellation)
    {
        double[] at = [.. start];
        var last = double.PositiveInfinity;
        for (var step = 0; step < MostSteps; step++)
        {
            cancellation.ThrowIfCancellationRequested();
            var (value, gradient, hessian) = objective.Derivatives(at);
            var n = at.Length;
            var still = free.MaxBy(i => hessian[(i * n) + i]);
            int[] moved = [.. free.Where(i => i != still)];
            var system = new double[moved.Length * moved.Length];
            for (var i = 0; i < moved.Length; i++)
            {
                for (var j = 0; j <= i; j++)
                {
                    system[(i * moved.Length) + j] = hessian[(moved[i] * n) + moved[j]];
                }
            }
            double[] move = [.. moved.Select(i => -gradient[i])];
            if (!Cholesky.TrySolve(system, move))
            {
                return at;
            }
            // Twice what the step would gain, were the function its parabola.
            var gain = -moved.Select((m, i) => gradient[m] * move[i]).Sum();
            if (!(gain > 0) || (gain < 1e-16 && gain >= last / 4))
            {
                return at;
            }
            last = gain;
            // Below the rounding of the value a comparison says nothing; so near the minimum the whole step is right.
            var whole = Math.Min(1, LongestMove / (objective.Scale * (Math.Max(0, move.Max()) - Math.Min(0, move.Min()))));
            var length = gain < 1e-12 ? whole : Backtrack(objective, at, moved, move, value, gain, whole);
            Move(at, moved, move, length);
        }
        return at;
    }

    private static double Backtrack(IObjective objective, double[] at, int[] moved, double[] move, double value, double gain, double whole)
    {
        var length = whole;
        for (; length > 1e-6 * whole; length /= 2)
        {
            double[] there = [.. at];
            Move(there, moved, move, length);
            if (objective.Value(there) <= value - (1e-4 * length * gain))
            {
                break;
            }
        }
        return length;
    }

    private static void Move(double[] at, int[] moved, double[] move, double length)
    {
        for (var i = 0; i < moved.Length; i++)
        {
            at[moved[i]] += length * move[i];
        }
    }
}
