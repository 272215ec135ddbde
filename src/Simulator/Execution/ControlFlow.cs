namespace TinyDpo.Simulator;

/// <summary>
/// Where the lanes of a warp meet again after a branch: at the branch's immediate post-dominator, the first instruction that every way from
/// it to the end passes through.
/// </summary>
internal static class ControlFlow
{
    /// <param name="targets">Of each instruction: where it may go besides the next; -1 if it goes only there.</param>
    /// <param name="stops">Whether the next instruction is never reached from here (an unguarded ret or bra).</param>
    /// <param name="exits">Whether lanes may end here.</param>
    /// <returns>Of each instruction its immediate post-dominator; the number of instructions for the end.</returns>
    public static int[] PostDominators(int[] targets, bool[] stops, bool[] exits)
    {
        var end = targets.Length;
        var order = new List<int>(end);
        var number = new int[end + 1];
        var predecessors = Predecessors(targets, stops, exits);
        Number(predecessors, order, number);

        // Cooper, Harvey and Kennedy's iteration, on the graph with its edges turned round.
        var dominator = new int[end + 1];
        Array.Fill(dominator, -1);
        dominator[end] = end;
        for (var changed = true; changed;)
        {
            changed = false;
            for (var k = order.Count - 1; k >= 0; k--)
            {
                var node = order[k];
                if (node == end)
                {
                    continue;
                }
                var found = -1;
                foreach (var next in Successors(node, targets, stops, exits))
                {
                    if (dominator[next] >= 0)
                    {
                        found = found < 0 ? next : Meet(found, next, dominator, number);
                    }
                }
                changed |= found != dominator[node];
                dominator[node] = found;
            }
        }
        // Whoever never reaches the end (an endless loop) meets nobody before it.
        return [.. dominator.Take(end).Select(d => d < 0 ? end : d)];
    }

    private static int Meet(int a, int b, int[] dominator, int[] number)
    {
        while (a != b)
        {
            while (number[a] < number[b])
            {
                a = dominator[a];
            }
            while (number[b] < number[a])
            {
                b = dominator[b];
            }
        }
        return a;
    }

    private static IEnumerable<int> Successors(int node, int[] targets, bool[] stops, bool[] exits)
    {
        if (!stops[node])
        {
            yield return node + 1;
        }
        if (targets[node] >= 0)
        {
            yield return targets[node];
        }
        if (exits[node])
        {
            yield return targets.Length;
        }
    }

    private static List<int>[] Predecessors(int[] targets, bool[] stops, bool[] exits)
    {
        var predecessors = new List<int>[targets.Length + 1];
        for (var i = 0; i < predecessors.Length; i++)
        {
            predecessors[i] = [];
        }
        for (var i = 0; i < targets.Length; i++)
        {
            foreach (var next in Successors(i, targets, stops, exits))
            {
                predecessors[next].Add(i);
            }
        }
        return predecessors;
    }

    // Post-order from the end, without recursion: kernels have thousands of instructions in a row.
    private static void Number(List<int>[] predecessors, List<int> order, int[] number)
    {
        var seen = new bool[predecessors.Length];
        var open = new Stack<(int Node, int Next)>();
        open.Push((predecessors.Length - 1, 0));
        seen[^1] = true;
        while (open.TryPop(out var top))
        {
            if (top.Next == predecessors[top.Node].Count)
            {
                number[top.Node] = order.Count;
                order.Add(top.Node);
                continue;
            }
            open.Push((top.Node, top.Next + 1));
            var child = predecessors[top.Node][top.Next];
            if (!seen[child])
            {
                seen[child] = true;
                open.Push((child, 0));
            }
        }
    }
}
