using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

/// <summary>
/// A row taken a vector at a time: `for (i = 0; i &lt; n; i += lanes) Store(f(Load(x + i, n - i)), y + i, n - i)` covers any length, with a
/// partial vector at its end.
/// </summary>
internal static unsafe class VectorRow
{
    /// <summary>The next vector of a row with <paramref name="remaining"/> elements left; zeros past the end.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<Real> Load(Real* p, int remaining) =>
        remaining >= Vector256<Real>.Count ? Vector256.Load(p) : VectorTail.LoadPartial(p, remaining);

    /// <summary>The same with another value past the end.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<Real> Load(Real* p, int remaining, Real fill) =>
        remaining >= Vector256<Real>.Count
            ? Vector256.Load(p)
            : Vector256.ConditionalSelect(Lanes(remaining), VectorTail.LoadPartial(p, remaining), Vector256.Create(fill));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector256<Real> v, Real* p, int remaining)
    {
        if (remaining >= Vector256<Real>.Count)
        {
            v.Store(p);
        }
        else
        {
            VectorTail.StorePartial(v, p, remaining);
        }
    }

    /// <summary>destination += source, rows of this length.</summary>
    public static void AddTo(Real* destination, Real* source, int length)
    {
        for (var j = 0; j < length; j += Vector256<Real>.Count)
        {
            var count = length - j;
            Store(Load(destination + j, count) + Load(source + j, count), destination + j, count);
        }
    }

    /// <summary>Zeroes the lanes past the end of the row, where a function has made something of the zeros that were loaded.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<Real> Mask(Vector256<Real> v, int remaining) =>
        remaining >= Vector256<Real>.Count ? v : Vector256.ConditionalSelect(Lanes(remaining), v, Vector256<Real>.Zero);

    /// <summary>The largest lane; a NaN is dropped.</summary>
    public static Real Max(Vector256<Real> v)
    {
        var max = v[0];
        for (var i = 1; i < Vector256<Real>.Count; i++)
        {
            max = Real.MaxNumber(max, v[i]);
        }
        return max;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<Real> Lanes(int count) => Vector256.LessThan(Vector256<Real>.Indices, Vector256.Create((Real)count));
}
