using System.Numerics;

namespace TinyDpo.Simulator;

/// <summary>The lane that a shuffle reads from. The bounds come from its last operand, as PTX defines.</summary>
internal interface IShuffle
{
    /// <param name="lane">The lane that reads.</param>
    /// <param name="by">The second operand: a distance, a pattern, or a lane within the segment.</param>
    /// <param name="low">First lane of its segment.</param>
    /// <param name="bound">The last lane that may be read (the first, for up).</param>
    static abstract (int Source, bool Valid) Source(int lane, int by, int low, int bound);
}

internal readonly struct ShuffleUp : IShuffle
{
    public static (int Source, bool Valid) Source(int lane, int by, int low, int bound) => (lane - by, lane - by >= bound);
}

internal readonly struct ShuffleDown : IShuffle
{
    public static (int Source, bool Valid) Source(int lane, int by, int low, int bound) => (lane + by, lane + by <= bound);
}

internal readonly struct ShuffleButterfly : IShuffle
{
    public static (int Source, bool Valid) Source(int lane, int by, int low, int bound) => (lane ^ by, (lane ^ by) <= bound);
}

internal readonly struct ShuffleIndex : IShuffle
{
    public static (int Source, bool Valid) Source(int lane, int by, int low, int bound) => (low | by, (low | by) <= bound);
}

/// <summary>Handlers of what passes between the lanes of a warp.</summary>
internal static unsafe class Exchanges
{
    /// <summary>shfl.sync d|e, a, b, c, mask.</summary>
    public static void Shuffle<TMode>(Warp w, Instruction* i)
        where TMode : IShuffle
    {
        RequireMask(w, i);
        var r = w.Registers;
        uint* d = (uint*)(r + i->D), a = (uint*)(r + i->A), b = (uint*)(r + i->B), c = (uint*)(r + i->C);
        uint* taken = stackalloc uint[Lanes.Count];
        uint valid = 0;
        for (var mask = w.Mask; mask != 0; mask &= mask - 1)
        {
            var lane = BitOperations.TrailingZeroCount(mask);
            var (clamp, segment) = ((int)(c[lane] & 31), (int)((c[lane] >> 8) & 31));
            var low = lane & segment;
            var by = (int)(b[lane] & 31);
            if (typeof(TMode) == typeof(ShuffleIndex))
            {
                by &= ~segment;
            }
            var (source, inside) = TMode.Source(lane, by, low, low | (clamp & ~segment));
            if (!inside)
            {
                taken[lane] = a[lane];
                continue;
            }
            valid |= 1u << lane;
            if ((w.Mask & (1u << source)) == 0)
            {
                throw w.Block.Fault(w, i, lane, $"the shuffle reads lane {source}, which does not take part");
            }
            taken[lane] = a[source];
        }
        for (var mask = w.Mask; mask != 0; mask &= mask - 1)
        {
            var lane = BitOperations.TrailingZeroCount(mask);
            d[lane] = taken[lane];
        }
        if (i->E >= 0)
        {
            Lanes.SetPredicate(w, i->E, valid);
        }
    }

    public static void Ballot(Warp w, Instruction* i)
    {
        RequireMask(w, i);
        SetAll(w, i->D, Votes(w, i) & w.Mask);
    }

    public static void VoteAll(Warp w, Instruction* i)
    {
        RequireMask(w, i);
        Lanes.SetPredicate(w, i->D, (Votes(w, i) & w.Mask) == w.Mask ? Lanes.All : 0);
    }

    public static void VoteAny(Warp w, Instruction* i)
    {
        RequireMask(w, i);
        Lanes.SetPredicate(w, i->D, (Votes(w, i) & w.Mask) != 0 ? Lanes.All : 0);
    }

    public static void VoteUniform(Warp w, Instruction* i)
    {
        RequireMask(w, i);
        var votes = Votes(w, i) & w.Mask;
        Lanes.SetPredicate(w, i->D, votes == 0 || votes == w.Mask ? Lanes.All : 0);
    }

    public static void ActiveMask(Warp w, Instruction* i) => SetAll(w, i->D, w.Mask);

    /// <summary>bar.warp.sync: orders what the warp did before, if all its lanes take part.</summary>
    public static void WarpBarrier(Warp w, Instruction* i)
    {
        RequireMask(w, i);
        if (w.Mask == w.Live)
        {
            w.WarpOrder = w.Block.Tick();
        }
    }

    public static void Nothing(Warp w, Instruction* i)
    {
    }

    private static uint Votes(Warp w, Instruction* i)
    {
        var votes = *(uint*)(w.Registers + i->A);
        return i->E != 0 ? ~votes : votes;
    }

    private static void SetAll(Warp w, int offset, uint value)
    {
        var d = (uint*)(w.Registers + offset);
        for (var mask = w.Mask; mask != 0; mask &= mask - 1)
        {
            d[BitOperations.TrailingZeroCount(mask)] = value;
        }
    }

    // A lane must be in its own mask, and all that the mask names must be here: on a card they wait for each other, or take what they find.
    private static void RequireMask(Warp w, Instruction* i)
    {
        var masks = (uint*)(w.Registers + i->Offset);
        for (var mask = w.Mask; mask != 0; mask &= mask - 1)
        {
            var lane = BitOperations.TrailingZeroCount(mask);
            var named = masks[lane];
            if ((w.Mask & ~named) != 0 || (named & w.Live & ~w.Mask) != 0)
            {
                throw w.Block.Fault(w, i, lane, $"the mask names lanes {named:x8}, but {w.Mask:x8} execute here and {w.Live:x8} have not returned");
            }
        }
    }
}
