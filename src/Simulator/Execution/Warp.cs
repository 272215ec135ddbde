using System.Numerics;

namespace TinyDpo.Simulator;

/// <summary>Lanes that wait to run from <paramref name="Pc"/> until they meet the others at <paramref name="Reconverge"/>.</summary>
internal readonly record struct PendingLanes(int Pc, uint Mask, int Reconverge);

/// <summary>32 lanes that execute together: their registers, which of them run, and who waits at which place for the others.</summary>
/// <param name="block">What executes the block that this warp belongs to.</param>
/// <param name="index">Its number within the block.</param>
internal sealed unsafe class Warp(BlockRunner block, int index)
{
    private readonly Stack<PendingLanes> _pending = new();

    public BlockRunner Block { get; } = block;

    public int Index { get; } = index;

    /// <summary>All registers, 32 lanes each, then constants; see <see cref="RegisterLayout"/>.</summary>
    public byte* Registers;

    /// <summary>The lanes that execute the present instruction.</summary>
    public uint Mask;

    /// <summary>The lanes that run along at present.</summary>
    public uint Active;

    /// <summary>Lanes that the block has and that have not returned.</summary>
    public uint Live;

    /// <summary>Lanes that the block has: fewer than 32 in its last warp.</summary>
    public uint Present;

    public int Pc;

    /// <summary>Where the active lanes meet those that wait.</summary>
    public int Reconverge;

    /// <summary>Time of the last bar.sync; what the block did before is in order with what this warp does now.</summary>
    public uint BlockOrder;

    /// <summary>Time of the last bar.sync or bar.warp.sync; what this warp did before is in order.</summary>
    public uint WarpOrder;

    public bool AtBarrier;

    public void Start(uint present, int exit)
    {
        _pending.Clear();
        (Present, Live, Active, Mask) = (present, present, present, 0);
        (Pc, Reconverge, AtBarrier) = (0, exit, false);
    }

    /// <summary>The active lanes have met the others: goes on with whoever is next. False if nobody is left.</summary>
    public bool Resume()
    {
        while (_pending.TryPop(out var next))
        {
            Active = next.Mask & Live;
            if (Active != 0)
            {
                (Pc, Reconverge) = (next.Pc, next.Reconverge);
                return true;
            }
        }
        Active = 0;
        return false;
    }

    /// <summary>Some lanes take a branch and some do not. Lanes that go straight to the meeting point just wait there.</summary>
    public void Diverge(uint taken, int target, int next, int reconverge)
    {
        var others = Active & ~taken;
        if (reconverge != Reconverge)
        {
            _pending.Push(new PendingLanes(reconverge, Active, Reconverge));
            Reconverge = reconverge;
        }
        if (target == reconverge)
        {
            (Active, Pc) = (others, next);
        }
        else
        {
            if (next != reconverge)
            {
                _pending.Push(new PendingLanes(next, others, reconverge));
            }
            (Active, Pc) = (taken, target);
        }
    }

    /// <summary>Lanes return.</summary>
    public void Leave(uint lanes)
    {
        Live &= ~lanes;
        Active &= ~lanes;
    }

    /// <summary>The lane to name in a message about several.</summary>
    public static int First(uint lanes) => BitOperations.TrailingZeroCount(lanes);
}
