namespace TinyDpo.Simulator;

/// <summary>The special registers: what each holds, by lane.</summary>
internal static class SpecialRegisters
{
    private static readonly string[] Names =
    [
        "%tid.x", "%tid.y", "%tid.z", "%ntid.x", "%ntid.y", "%ntid.z", "%ctaid.x", "%ctaid.y", "%ctaid.z", "%nctaid.x", "%nctaid.y", "%nctaid.z",
        "%laneid", "%warpid", "%nwarpid", "%lanemask_eq", "%lanemask_lt", "%lanemask_le", "%lanemask_gt", "%lanemask_ge", "%dynamic_smem_size",
    ];

    public static bool IsKnown(string name) => Names.Contains(name);

    /// <summary>Whether it changes from block to block; the others stay for a launch.</summary>
    public static bool IsOfBlock(string name) => name.StartsWith("%ctaid.", StringComparison.Ordinal);

    public static uint Value(string name, LaunchRequest launch, Dim3 block, int warp, int lane)
    {
        var (x, y) = (launch.Block.X, launch.Block.Y);
        var thread = (warp * Lanes.Count) + lane;
        return (uint)(name switch
        {
            "%tid.x" => thread % x,
            "%tid.y" => thread / x % y,
            "%tid.z" => thread / (x * y),
            "%ntid.x" => x,
            "%ntid.y" => y,
            "%ntid.z" => launch.Block.Z,
            "%ctaid.x" => block.X,
            "%ctaid.y" => block.Y,
            "%ctaid.z" => block.Z,
            "%nctaid.x" => launch.Grid.X,
            "%nctaid.y" => launch.Grid.Y,
            "%nctaid.z" => launch.Grid.Z,
            "%laneid" => lane,
            "%warpid" => warp,
            "%nwarpid" => (int)((launch.Block.Count + Lanes.Count - 1) / Lanes.Count),
            "%lanemask_eq" => 1 << lane,
            "%lanemask_lt" => (1 << lane) - 1,
            "%lanemask_le" => (int)(uint.MaxValue >> (31 - lane)),
            "%lanemask_gt" => (int)~(uint.MaxValue >> (31 - lane)),
            "%lanemask_ge" => -1 << lane,
            _ => launch.DynamicSharedBytes,
        });
    }
}
