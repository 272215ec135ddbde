using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace TinyDpo.Kernels;

/// <summary>The last, partial vector of a row: memory past its end is neither read nor written.</summary>
public static unsafe class VectorTail
{
    /// <summary>p[0..count) in the first lanes and 0 in the rest, for 0 &lt;= count &lt;= lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<Real> LoadPartial(Real* p, int count) =>
        Avx.IsSupported ? Avx.MaskLoad(p, FirstLanes(count)) : LoadPartialReference(p, count);

    /// <summary>Writes the first lanes of v to p[0..count), for 0 &lt;= count &lt;= lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StorePartial(Vector256<Real> v, Real* p, int count)
    {
        if (Avx.IsSupported)
        {
            Avx.MaskStore(p, FirstLanes(count), v);
        }
        else
        {
            StorePartialReference(v, p, count);
        }
    }

    /// <summary><see cref="LoadPartial"/> element by element.</summary>
    internal static Vector256<Real> LoadPartialReference(Real* p, int count)
    {
        var v = Vector256<Real>.Zero;
        for (var i = 0; i < count; i++)
        {
            v = v.WithElement(i, p[i]);
        }
        return v;
    }

    /// <summary><see cref="StorePartial"/> element by element.</summary>
    internal static void StorePartialReference(Vector256<Real> v, Real* p, int count)
    {
        for (var i = 0; i < count; i++)
        {
            p[i] = v[i];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<Real> FirstLanes(int count)
    {
        Debug.Assert((uint)count <= (uint)Vector256<Real>.Count, "a tail is shorter than a vector");
        return Vector256.LessThan(Vector256<Real>.Indices, Vector256.Create((Real)count));
    }
}
