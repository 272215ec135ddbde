using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace TinyDpo.Simulator;

// The comparisons of setp. The plain ones are false where an operand is NaN (ne too); those that end in u are true there.
internal readonly struct Equal<T> : IComparison<T>
    where T : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<T> Apply(Vector256<T> a, Vector256<T> b) => Vector256.Equals(a, b);
}

internal readonly struct Less<T> : IComparison<T>
    where T : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<T> Apply(Vector256<T> a, Vector256<T> b) => Vector256.LessThan(a, b);
}

internal readonly struct LessOrEqual<T> : IComparison<T>
    where T : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<T> Apply(Vector256<T> a, Vector256<T> b) => Vector256.LessThanOrEqual(a, b);
}

internal readonly struct Greater<T> : IComparison<T>
    where T : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<T> Apply(Vector256<T> a, Vector256<T> b) => Vector256.GreaterThan(a, b);
}

internal readonly struct GreaterOrEqual<T> : IComparison<T>
    where T : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<T> Apply(Vector256<T> a, Vector256<T> b) => Vector256.GreaterThanOrEqual(a, b);
}

/// <summary>Neither operand is NaN.</summary>
internal readonly struct Ordered<T> : IComparison<T>
    where T : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<T> Apply(Vector256<T> a, Vector256<T> b) => Vector256.Equals(a, a) & Vector256.Equals(b, b);
}

/// <summary>Both ordered and unequal: ne of floats.</summary>
internal readonly struct LessOrGreater<T> : IComparison<T>
    where T : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<T> Apply(Vector256<T> a, Vector256<T> b) => Vector256.LessThan(a, b) | Vector256.GreaterThan(a, b);
}

/// <summary>The opposite of a comparison: geu is not lt.</summary>
internal readonly struct Opposite<T, TOp> : IComparison<T>
    where T : unmanaged
    where TOp : IComparison<T>
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<T> Apply(Vector256<T> a, Vector256<T> b) => ~TOp.Apply(a, b);
}

internal readonly struct BothHold : ICombine
{
    public static uint Apply(uint a, uint b) => a & b;
}

internal readonly struct EitherHolds : ICombine
{
    public static uint Apply(uint a, uint b) => a | b;
}

internal readonly struct OneHolds : ICombine
{
    public static uint Apply(uint a, uint b) => a ^ b;
}

internal readonly struct FirstHolds : ICombine
{
    public static uint Apply(uint a, uint b) => a;
}

internal readonly struct FirstFails : ICombine
{
    public static uint Apply(uint a, uint b) => ~a;
}

/// <summary>A comparison of signed 16-bit numbers, which their registers hold zero-extended.</summary>
internal readonly struct Signed16<TOp> : IComparison<int>
    where TOp : IComparison<int>
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Apply(Vector256<int> a, Vector256<int> b) => TOp.Apply(a << 16, b << 16);
}
