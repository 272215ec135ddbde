using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace TinyDpo.Simulator;

/// <summary>How the lanes of one access lie to each other.</summary>
internal enum AccessPattern
{
    /// <summary>Anyhow.</summary>
    Scattered,

    /// <summary>All 32 lanes, one behind the other.</summary>
    Contiguous,

    /// <summary>All 32 lanes at one address.</summary>
    Uniform,
}

/// <summary>A state space: global and shared memory, or either by address.</summary>
internal interface ISpace
{
    static abstract bool IsShared { get; }

    static abstract bool IsGeneric { get; }
}

internal readonly struct GlobalSpace : ISpace
{
    public static bool IsShared => false;

    public static bool IsGeneric => false;
}

internal readonly struct SharedSpace : ISpace
{
    public static bool IsShared => true;

    public static bool IsGeneric => false;
}

internal readonly struct GenericSpace : ISpace
{
    public static bool IsShared => false;

    public static bool IsGeneric => true;
}

/// <summary>Handlers of loads and stores. The checks and counters look at the addresses first, then the data moves.</summary>
internal static unsafe class MemoryAccess
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Load<T, TSpace>(Warp w, Instruction* i)
        where T : unmanaged
        where TSpace : ISpace
    {
        if (TSpace.IsGeneric)
        {
            Split(w, i, &Load<T, GlobalSpace>, &Load<T, SharedSpace>);
            return;
        }
        var block = w.Block;
        var pattern = block.Locate(w, i, i->Count * sizeof(T), TSpace.IsShared);
        block.Observe(w, i, pattern, i->Count * sizeof(T), TSpace.IsShared, store: false);
        var origin = TSpace.IsShared ? block.Shared : null;
        var addresses = block.Addresses;
        if (i->Count == 1)
        {
            var d = (T*)(w.Registers + i->D);
            if (pattern == AccessPattern.Contiguous)
            {
                Unsafe.CopyBlockUnaligned(d, origin + addresses[0], (uint)(Lanes.Count * sizeof(T)));
            }
            else if (pattern == AccessPattern.Uniform)
            {
                new Span<T>(d, Lanes.Count).Fill(*(T*)(origin + addresses[0]));
            }
            else
            {
                for (var mask = w.Mask; mask != 0; mask &= mask - 1)
                {
                    var lane = BitOperations.TrailingZeroCount(mask);
                    d[lane] = *(T*)(origin + addresses[lane]);
                }
            }
            return;
        }
        T* d0 = (T*)(w.Registers + i->D), d1 = (T*)(w.Registers + i->B), d2 = (T*)(w.Registers + i->C), d3 = (T*)(w.Registers + i->E);
        if (pattern == AccessPattern.Uniform)
        {
            var from = (T*)(origin + addresses[0]);
            new Span<T>(d0, Lanes.Count).Fill(from[0]);
            new Span<T>(d1, Lanes.Count).Fill(from[1]);
            if (i->Count == 4)
            {
                new Span<T>(d2, Lanes.Count).Fill(from[2]);
                new Span<T>(d3, Lanes.Count).Fill(from[3]);
            }
            return;
        }
        for (var mask = w.Mask; mask != 0; mask &= mask - 1)
        {
            var lane = BitOperations.TrailingZeroCount(mask);
            var from = (T*)(origin + addresses[lane]);
            d0[lane] = from[0];
            d1[lane] = from[1];
            if (i->Count == 4)
            {
                d2[lane] = from[2];
                d3[lane] = from[3];
            }
        }
    }

    /// <summary>A number smaller than its register: extended by its sign if T has one.</summary>
    public static void LoadNarrow<T, TSpace>(Warp w, Instruction* i)
        where T : unmanaged, IBinaryInteger<T>
        where TSpace : ISpace
    {
        if (TSpace.IsGeneric)
        {
            Split(w, i, &LoadNarrow<T, GlobalSpace>, &LoadNarrow<T, SharedSpace>);
            return;
        }
        var block = w.Block;
        var pattern = block.Locate(w, i, sizeof(T), TSpace.IsShared);
        block.Observe(w, i, pattern, sizeof(T), TSpace.IsShared, store: false);
        var origin = TSpace.IsShared ? block.Shared : null;
        var d = w.Registers + i->D;
        for (var mask = w.Mask; mask != 0; mask &= mask - 1)
        {
            var lane = BitOperations.TrailingZeroCount(mask);
            var value = long.CreateTruncating(*(T*)(origin + block.Addresses[lane]));
            if (i->Stride == 4)
            {
                ((uint*)d)[lane] = (uint)value & (uint)i->B;
            }
            else
            {
                ((long*)d)[lane] = value;
            }
        }
    }

    /// <summary>The low bytes of registers that may be larger than what is stored.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Store<T, TSpace>(Warp w, Instruction* i)
        where T : unmanaged, IEquatable<T>
        where TSpace : ISpace
    {
        if (TSpace.IsGeneric)
        {
            Split(w, i, &Store<T, GlobalSpace>, &Store<T, SharedSpace>);
            return;
        }
        var block = w.Block;
        var pattern = block.Locate(w, i, i->Count * sizeof(T), TSpace.IsShared);
        block.Observe(w, i, pattern, i->Count * sizeof(T), TSpace.IsShared, store: true);
        var origin = TSpace.IsShared ? block.Shared : null;
        var addresses = block.Addresses;
        nint stride = i->Stride;
        var d0 = w.Registers + i->D;
        if (i->Count == 1)
        {
            if (pattern == AccessPattern.Contiguous && stride == sizeof(T))
            {
                Unsafe.CopyBlockUnaligned(origin + addresses[0], d0, (uint)(Lanes.Count * sizeof(T)));
                return;
            }
            for (var mask = w.Mask; mask != 0; mask &= mask - 1)
            {
                var lane = BitOperations.TrailingZeroCount(mask);
                *(T*)(origin + addresses[lane]) = *(T*)(d0 + (lane * stride));
            }
            return;
        }
        byte* d1 = w.Registers + i->B, d2 = w.Registers + i->C, d3 = w.Registers + i->E;
        for (var mask = w.Mask; mask != 0; mask &= mask - 1)
        {
            var lane = BitOperations.TrailingZeroCount(mask);
            var to = (T*)(origin + addresses[lane]);
            to[0] = *(T*)(d0 + (lane * stride));
            to[1] = *(T*)(d1 + (lane * stride));
            if (i->Count == 4)
            {
                to[2] = *(T*)(d2 + (lane * stride));
                to[3] = *(T*)(d3 + (lane * stride));
            }
        }
    }

    /// <summary>Reads, computes and writes each lane's number before the next lane; no other block comes between.</summary>
    public static void Atomic<T, TOp, TSpace>(Warp w, Instruction* i)
        where T : unmanaged, IBinaryInteger<T>
        where TOp : IAtomic
        where TSpace : ISpace
    {
        if (TSpace.IsGeneric)
        {
            Split(w, i, &Atomic<T, TOp, GlobalSpace>, &Atomic<T, TOp, SharedSpace>);
            return;
        }
        var block = w.Block;
        _ = block.Locate(w, i, sizeof(T), TSpace.IsShared);
        block.ObserveAtomic(w, i, sizeof(T), TSpace.IsShared);
        var origin = TSpace.IsShared ? block.Shared : null;
        T* b = (T*)(w.Registers + i->B), c = (T*)(w.Registers + i->C);
        lock (block.AtomicLock)
        {
            for (var mask = w.Mask; mask != 0; mask &= mask - 1)
            {
                var lane = BitOperations.TrailingZeroCount(mask);
                var place = (T*)(origin + block.Addresses[lane]);
                var old = *place;
                *place = TOp.Apply(old, b[lane], c[lane]);
                if (i->D >= 0)
                {
                    ((T*)(w.Registers + i->D))[lane] = old;
                }
            }
        }
    }

    // Each lane goes where its own address says.
    private static void Split(
        Warp w, Instruction* i, delegate*<Warp, Instruction*, void> global, delegate*<Warp, Instruction*, void> shared)
    {
        var all = w.Mask;
        var inShared = w.Block.InShared(w, i);
        if ((all & ~inShared) != 0)
        {
            w.Mask = all & ~inShared;
            global(w, i);
        }
        if ((all & inShared) != 0)
        {
            w.Mask = all & inShared;
            shared(w, i);
        }
        w.Mask = all;
    }
}
