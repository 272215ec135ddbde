namespace TinyDpo.Tensors;

/// <summary>The ops that led to a tensor, in the order backward visits them: an op comes after everything that used its output.</summary>
internal static class Tape
{
    private static long s_order;

    public static long NextOrder() => Interlocked.Increment(ref s_order);

    public static List<Op> Reversed(Op last)
    {
        var found = new HashSet<Op> { last };
        var ops = new List<Op> { last };
        for (var i = 0; i < ops.Count; i++)
        {
            foreach (var input in ops[i].Inputs)
            {
                if (input.Producer is { } producer && found.Add(producer))
                {
                    ops.Add(producer);
                }
            }
        }
        ops.Sort(static (a, b) => b.Order.CompareTo(a.Order));
        return ops;
    }
}
