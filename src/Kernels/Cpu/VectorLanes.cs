using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

/// <summary>Vectors of one width, for a kernel that is written once for all widths. Each element is computed alike in all of them.</summary>
internal unsafe interface ILanes<TVector>
    where TVector : struct
{
    static abstract int Count { get; }

    static abstract TVector Load(Real* source);

    static abstract TVector Create(Real value);

    /// <summary>Create(*source), out of memory in one instruction. A number that came as an argument is shuffled, on a port that multiply-adds need.</summary>
    static abstract TVector Broadcast(Real* source);

    static abstract TVector Add(TVector a, TVector b);

    static abstract TVector Multiply(TVector a, TVector b);

    static abstract TVector FusedMultiplyAdd(TVector a, TVector b, TVector c);

    static abstract void Store(TVector value, Real* target);
}

internal readonly unsafe struct Lanes256 : ILanes<Vector256<Real>>
{
    public static int Count => Vector256<Real>.Count;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<Real> Load(Real* source) => Vector256.Load(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<Real> Create(Real value) => Vector256.Create(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<Real> Broadcast(Real* source) => Vector256.Create(*source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<Real> Add(Vector256<Real> a, Vector256<Real> b) => a + b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<Real> Multiply(Vector256<Real> a, Vector256<Real> b) => a * b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<Real> FusedMultiplyAdd(Vector256<Real> a, Vector256<Real> b, Vector256<Real> c) => Vector256.FusedMultiplyAdd(a, b, c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector256<Real> value, Real* target) => value.Store(target);
}

internal readonly unsafe struct Lanes512 : ILanes<Vector512<Real>>
{
    public static int Count => Vector512<Real>.Count;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<Real> Load(Real* source) => Vector512.Load(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<Real> Create(Real value) => Vector512.Create(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<Real> Broadcast(Real* source) => Vector512.Create(*source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<Real> Add(Vector512<Real> a, Vector512<Real> b) => a + b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<Real> Multiply(Vector512<Real> a, Vector512<Real> b) => a * b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<Real> FusedMultiplyAdd(Vector512<Real> a, Vector512<Real> b, Vector512<Real> c) => Vector512.FusedMultiplyAdd(a, b, c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector512<Real> value, Real* target) => value.Store(target);
}
