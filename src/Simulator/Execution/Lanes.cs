using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace TinyDpo.Simulator;

/// <summary>A function of vectors, lane by lane.</summary>
internal interface IUnary<T>
{
    static abstract Vector256<T> Apply(Vector256<T> a);
}

internal interface IBinary<T>
{
    static abstract Vector256<T> Apply(Vector256<T> a, Vector256<T> b);
}

internal interface ITernary<T>
{
    static abstract Vector256<T> Apply(Vector256<T> a, Vector256<T> b, Vector256<T> c);
}

/// <summary>A comparison: all bits of a lane where it holds.</summary>
internal interface IComparison<T>
{
    static abstract Vector256<T> Apply(Vector256<T> a, Vector256<T> b);
}

/// <summary>A function of one lane's bits, for what no vector instruction does.</summary>
internal interface IScalar
{
    static abstract ulong Apply(ulong a, ulong b, ulong c);
}

/// <summary>Two predicates to one.</summary>
internal interface ICombine
{
    static abstract uint Apply(uint a, uint b);
}

/// <summary>
/// The handlers of arithmetic: they carry a function over the 32 lanes of a warp. Where all lanes execute, nothing is masked.
/// </summary>
internal static unsafe class Lanes
{
    public const int Count = 32;
    public const uint All = uint.MaxValue;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Unary<T, TOp>(Warp w, Instruction* i)
        where T : unmanaged
        where TOp : IUnary<T>
    {
        var r = w.Registers;
        byte* d = r + i->D, a = r + i->A;
        var mask = w.Mask;
        for (var at = 0; at < Count * sizeof(T); at += 32)
        {
            Store(d, at, TOp.Apply(Vector256.Load((T*)(a + at))), mask);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Binary<T, TOp>(Warp w, Instruction* i)
        where T : unmanaged
        where TOp : IBinary<T>
    {
        var r = w.Registers;
        byte* d = r + i->D, a = r + i->A, b = r + i->B;
        var mask = w.Mask;
        for (var at = 0; at < Count * sizeof(T); at += 32)
        {
            Store(d, at, TOp.Apply(Vector256.Load((T*)(a + at)), Vector256.Load((T*)(b + at))), mask);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Ternary<T, TOp>(Warp w, Instruction* i)
        where T : unmanaged
        where TOp : ITernary<T>
    {
        var r = w.Registers;
        byte* d = r + i->D, a = r + i->A, b = r + i->B, c = r + i->C;
        var mask = w.Mask;
        for (var at = 0; at < Count * sizeof(T); at += 32)
        {
            Store(d, at, TOp.Apply(Vector256.Load((T*)(a + at)), Vector256.Load((T*)(b + at)), Vector256.Load((T*)(c + at))), mask);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Compare<T, TOp>(Warp w, Instruction* i)
        where T : unmanaged
        where TOp : IComparison<T> =>
        SetPredicate(w, i->D, Holds<T, TOp>(w, i));

    /// <summary>setp with a third operand: the comparison and, or, xor a predicate.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Compare<T, TOp, TCombine>(Warp w, Instruction* i)
        where T : unmanaged
        where TOp : IComparison<T>
        where TCombine : ICombine =>
        SetPredicate(w, i->D, TCombine.Apply(Holds<T, TOp>(w, i), *(uint*)(w.Registers + i->C)));

    /// <summary>d = predicate c ? a : b.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Select<T>(Warp w, Instruction* i)
        where T : unmanaged
    {
        var r = w.Registers;
        byte* d = r + i->D, a = r + i->A, b = r + i->B;
        var mask = w.Mask;
        var chosen = *(uint*)(r + i->C);
        for (var at = 0; at < Count * sizeof(T); at += 32)
        {
            var value = Vector256.ConditionalSelect(Mask<T>(chosen, at), Vector256.Load((T*)(a + at)), Vector256.Load((T*)(b + at)));
            Store(d, at, value, mask);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Move<T>(Warp w, Instruction* i)
        where T : unmanaged
    {
        var r = w.Registers;
        byte* d = r + i->D, a = r + i->A;
        var mask = w.Mask;
        for (var at = 0; at < Count * sizeof(T); at += 32)
        {
            Store(d, at, Vector256.Load((T*)(a + at)), mask);
        }
    }

    /// <summary>Predicates: d = f(a, b) in the lanes that execute.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Predicate<TCombine>(Warp w, Instruction* i)
        where TCombine : ICombine =>
        SetPredicate(w, i->D, TCombine.Apply(*(uint*)(w.Registers + i->A), *(uint*)(w.Registers + i->B)));

    /// <summary>A function of bits, a lane at a time; TD, TA, TB and TC are the sizes of the registers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Scalar<TD, TA, TB, TC, TOp>(Warp w, Instruction* i)
        where TD : unmanaged
        where TA : unmanaged
        where TB : unmanaged
        where TC : unmanaged
        where TOp : IScalar
    {
        var r = w.Registers;
        byte* d = r + i->D, a = r + i->A, b = r + i->B, c = r + i->C;
        for (var mask = w.Mask; mask != 0; mask &= mask - 1)
        {
            var lane = System.Numerics.BitOperations.TrailingZeroCount(mask);
            var value = TOp.Apply(Read<TA>(a, lane), Read<TB>(b, lane), Read<TC>(c, lane));
            if (sizeof(TD) == 4)
            {
                ((uint*)d)[lane] = (uint)value;
            }
            else
            {
                ((ulong*)d)[lane] = value;
            }
        }
    }

    /// <summary>bfi: E bits of a are put into b from bit C on.</summary>
    public static void InsertBits(Warp w, Instruction* i)
    {
        var r = w.Registers;
        uint* d = (uint*)(r + i->D), a = (uint*)(r + i->A), b = (uint*)(r + i->B), c = (uint*)(r + i->C), e = (uint*)(r + i->E);
        for (var mask = w.Mask; mask != 0; mask &= mask - 1)
        {
            var lane = System.Numerics.BitOperations.TrailingZeroCount(mask);
            var (position, length) = ((int)(c[lane] & 255), (int)(e[lane] & 255));
            var field = position > 31 || length == 0 ? 0 : (length > 31 ? uint.MaxValue : (1u << length) - 1) << position;
            d[lane] = (b[lane] & ~field) | ((a[lane] << position) & field);
        }
    }

    public static void SetPredicate(Warp w, int offset, uint value)
    {
        var p = (uint*)(w.Registers + offset);
        *p = (*p & ~w.Mask) | (value & w.Mask);
    }

    /// <summary>All bits of each lane of one vector whose bit in the mask is set; the vector begins <paramref name="at"/> bytes into the register.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<T> Mask<T>(uint mask, int at)
        where T : unmanaged
    {
        if (sizeof(T) == 4)
        {
            var bits = Vector256.Create(1, 2, 4, 8, 16, 32, 64, 128);
            return Vector256.Equals(Vector256.Create((int)(mask >> (at / 4))) & bits, bits).As<int, T>();
        }
        else
        {
            var bits = Vector256.Create(1L, 2L, 4L, 8L);
            return Vector256.Equals(Vector256.Create((long)(mask >> (at / 8))) & bits, bits).As<long, T>();
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<T>(byte* d, int at, Vector256<T> value, uint mask)
        where T : unmanaged
    {
        if (mask != All)
        {
            value = Vector256.ConditionalSelect(Mask<T>(mask, at), value, Vector256.Load((T*)(d + at)));
        }
        value.Store((T*)(d + at));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Holds<T, TOp>(Warp w, Instruction* i)
        where T : unmanaged
        where TOp : IComparison<T>
    {
        var r = w.Registers;
        byte* a = r + i->A, b = r + i->B;
        uint bits = 0;
        for (var at = 0; at < Count * sizeof(T); at += 32)
        {
            bits |= TOp.Apply(Vector256.Load((T*)(a + at)), Vector256.Load((T*)(b + at))).ExtractMostSignificantBits() << (at / sizeof(T));
        }
        return bits;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Read<T>(byte* p, int lane)
        where T : unmanaged =>
        sizeof(T) == 4 ? ((uint*)p)[lane] : ((ulong*)p)[lane];
}
