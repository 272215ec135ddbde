namespace TinyDpo.Simulator;

/// <summary>Where a kernel's shared variables lie.</summary>
/// <param name="Offsets">Of each variable.</param>
/// <param name="Static">The static variables as [start, end), for the checks.</param>
/// <param name="DynamicOffset">Where dynamic shared memory begins.</param>
/// <param name="DeclaredBytes">Bytes that the static variables take on a card.</param>
internal sealed record SharedLayout(
    IReadOnlyDictionary<string, int> Offsets, IReadOnlyList<(int Start, int End)> Static, int DynamicOffset, int DeclaredBytes)
{
    /// <summary>Bytes that belong to nobody between two variables, a whole turn of the banks, so that an overrun is seen.</summary>
    private const int Gap = 128;

    public static SharedLayout Of(IReadOnlyList<PtxShared> variables)
    {
        var offsets = new Dictionary<string, int>();
        var areas = new List<(int, int)>();
        var (next, declared) = (0, 0);
        foreach (var variable in variables.Where(static v => !v.Dynamic))
        {
            declared = Up(declared, variable.Align) + variable.Bytes;
            next = Up(next, variable.Align);
            offsets[variable.Name] = next;
            areas.Add((next, next + variable.Bytes));
            // The gap keeps the distance between variables, modulo the banks, as it is on a card.
            next += variable.Bytes + Gap;
        }
        var dynamic = variables.Where(static v => v.Dynamic).ToList();
        next = Up(next, dynamic.Count == 0 ? 16 : Math.Max(16, dynamic.Max(static v => v.Align)));
        foreach (var variable in dynamic)
        {
            offsets[variable.Name] = next;
        }
        return new SharedLayout(offsets, areas, next, declared);
    }

    private static int Up(int value, int to) => (value + to - 1) / to * to;
}

/// <summary>A kernel ready to run.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Parameters">Its parameters.</param>
/// <param name="Instructions">The code, in pinned memory.</param>
/// <param name="Places">Of each instruction, for messages.</param>
/// <param name="Registers">Where its registers and constants lie.</param>
/// <param name="Shared">Where its shared variables lie.</param>
/// <param name="MaxThreads">Threads of a block at most.</param>
internal sealed record KernelCode(
    string Name, IReadOnlyList<PtxParameter> Parameters, Instruction[] Instructions, PtxPlace[] Places, RegisterLayout Registers, SharedLayout Shared,
    int MaxThreads)
{
    public int ParameterBytes => Parameters.Count == 0 ? 0 : Parameters[^1].Offset + Parameters[^1].Bytes;
}
