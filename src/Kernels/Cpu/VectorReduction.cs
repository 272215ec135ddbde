using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

/// <summary>From a vector to one number, in an order that is part of the contract (Vector256.Sum promises none).</summary>
public static class VectorReduction
{
    /// <summary>
    /// The sum of the lanes, halves first: ((v0 + v4) + (v2 + v6)) + ((v1 + v5) + (v3 + v7)); in double (v0 + v2) + (v1 + v3).
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Real Sum(Vector256<Real> v)
    {
        var half = v.GetLower() + v.GetUpper();
#if !DOUBLE
        half += Vector128.Shuffle(half, Vector128.Create(2, 3, 0, 1));
#endif
        return half[0] + half[1];
    }
}
