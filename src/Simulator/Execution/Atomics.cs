using System.Numerics;

namespace TinyDpo.Simulator;

/// <summary>What an atomic leaves behind: a function of what stood there and its operands.</summary>
internal interface IAtomic
{
    static abstract T Apply<T>(T old, T b, T c)
        where T : unmanaged, IBinaryInteger<T>;
}

internal readonly struct AtomicAdd : IAtomic
{
    public static T Apply<T>(T old, T b, T c)
        where T : unmanaged, IBinaryInteger<T> => old + b;
}

internal readonly struct AtomicMin : IAtomic
{
    public static T Apply<T>(T old, T b, T c)
        where T : unmanaged, IBinaryInteger<T> => T.Min(old, b);
}

internal readonly struct AtomicMax : IAtomic
{
    public static T Apply<T>(T old, T b, T c)
        where T : unmanaged, IBinaryInteger<T> => T.Max(old, b);
}

internal readonly struct AtomicAnd : IAtomic
{
    public static T Apply<T>(T old, T b, T c)
        where T : unmanaged, IBinaryInteger<T> => old & b;
}

internal readonly struct AtomicOr : IAtomic
{
    public static T Apply<T>(T old, T b, T c)
        where T : unmanaged, IBinaryInteger<T> => old | b;
}

internal readonly struct AtomicXor : IAtomic
{
    public static T Apply<T>(T old, T b, T c)
        where T : unmanaged, IBinaryInteger<T> => old ^ b;
}

internal readonly struct AtomicExchange : IAtomic
{
    public static T Apply<T>(T old, T b, T c)
        where T : unmanaged, IBinaryInteger<T> => b;
}

internal readonly struct AtomicCompareAndSwap : IAtomic
{
    public static T Apply<T>(T old, T b, T c)
        where T : unmanaged, IBinaryInteger<T> => old == b ? c : old;
}

/// <summary>Counts up to b, then from 0 again.</summary>
internal readonly struct AtomicIncrement : IAtomic
{
    public static T Apply<T>(T old, T b, T c)
        where T : unmanaged, IBinaryInteger<T> => old >= b ? T.Zero : old + T.One;
}

internal readonly struct AtomicDecrement : IAtomic
{
    public static T Apply<T>(T old, T b, T c)
        where T : unmanaged, IBinaryInteger<T> => old == T.Zero || old > b ? b : old - T.One;
}
