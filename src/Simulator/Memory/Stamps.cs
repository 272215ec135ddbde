namespace TinyDpo.Simulator;

/// <summary>
/// Who touched a word of global memory last, in 64 bits: the block (numbered through all launches), the time in the block, the thread.
/// Level says how many are meant: 0 this thread, 1 several lanes of its warp, 2 several warps of its block, 3 several blocks.
/// </summary>
internal static class GlobalStamp
{
    public const int BlockShift = 33;
    public const int ClockShift = 13;
    public const int ThreadShift = 3;
    public const int LevelShift = 1;
    public const ulong Atomic = 1;
    public const ulong ClockMask = (ulong)Order.MaxClock << ClockShift;

    /// <summary>Blocks that can be told apart before all stamps are cleared.</summary>
    public const long MaxBlocks = (1L << 31) - 1;

    public static ulong Of(ulong block, uint clock, int thread) => (block << BlockShift) | ((ulong)clock << ClockShift) | ((ulong)thread << ThreadShift);

    public static ulong Block(ulong stamp) => stamp >> BlockShift;

    public static uint Clock(ulong stamp) => (uint)((stamp & ClockMask) >> ClockShift);

    public static int Thread(ulong stamp) => (int)(stamp >> ThreadShift) & 1023;

    public static int Level(ulong stamp) => (int)(stamp >> LevelShift) & 3;

    public static ulong WithLevel(ulong stamp, int level) => (stamp & ~(3UL << LevelShift)) | ((ulong)level << LevelShift);
}

/// <summary>Time within a block: it advances with every bar.sync and bar.warp.sync.</summary>
internal static class Order
{
    /// <summary>The last time that the stamps of shared memory can hold.</summary>
    public const uint MaxClock = (1u << 19) - 1;
}

/// <summary>Who touched a word of shared memory last, in 32 bits: as <see cref="GlobalStamp"/>, without the block.</summary>
internal static class SharedStamp
{
    public const int ClockShift = 13;
    public const int ThreadShift = 3;
    public const int LevelShift = 1;
    public const uint Atomic = 1;
    public const uint ClockMask = Order.MaxClock << ClockShift;

    public static uint Of(uint clock, int thread) => (clock << ClockShift) | ((uint)thread << ThreadShift);

    public static uint Clock(uint stamp) => stamp >> ClockShift;

    public static int Thread(uint stamp) => (int)(stamp >> ThreadShift) & 1023;

    public static int Level(uint stamp) => (int)(stamp >> LevelShift) & 3;

    public static uint WithLevel(uint stamp, int level) => (stamp & ~(3u << LevelShift)) | ((uint)level << LevelShift);
}
