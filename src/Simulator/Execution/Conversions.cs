using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace TinyDpo.Simulator;

/// <summary>Handlers of cvt, mul.wide and mov between a 64-bit register and two of 32.</summary>
internal static unsafe class Conversions
{
    /// <summary>cvt from integer to integer: the low bits of the source, extended, cut to the destination's type and extended again.</summary>
    /// <remarks>Offset holds the shifts that do so, a byte each: source bits, source signed, destination bits, destination signed.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Integer<TD, TA>(Warp w, Instruction* i)
        where TD : unmanaged
        where TA : unmanaged
    {
        byte* d = w.Registers + i->D, a = w.Registers + i->A;
        int from = 64 - (i->Offset & 255), to = 64 - ((i->Offset >> 16) & 255);
        bool fromSigned = ((i->Offset >> 8) & 255) != 0, toSigned = ((i->Offset >> 24) & 255) != 0;
        for (var mask = w.Mask; mask != 0; mask &= mask - 1)
        {
            var lane = System.Numerics.BitOperations.TrailingZeroCount(mask);
            var value = (sizeof(TA) == 4 ? ((uint*)a)[lane] : ((ulong*)a)[lane]) << from;
            value = fromSigned ? (ulong)((long)value >> from) : value >> from;
            value <<= to;
            value = toSigned ? (ulong)((long)value >> to) : value >> to;
            Write<TD>(d, lane, value);
        }
    }

    public static int Widths(int from, bool fromSigned, int to, bool toSigned) =>
        from | ((fromSigned ? 1 : 0) << 8) | (to << 16) | ((toSigned ? 1 : 0) << 24);

    /// <summary>32 bits to 64; the operator extends.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void SignExtend(Warp w, Instruction* i)
    {
        byte* d = w.Registers + i->D, a = w.Registers + i->A;
        for (var at = 0; at < 128; at += 32)
        {
            var (low, high) = Vector256.Widen(Vector256.Load((int*)(a + at)));
            Store(d, 2 * at, low, w.Mask);
            Store(d, (2 * at) + 32, high, w.Mask);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ZeroExtend(Warp w, Instruction* i)
    {
        byte* d = w.Registers + i->D, a = w.Registers + i->A;
        for (var at = 0; at < 128; at += 32)
        {
            var (low, high) = Vector256.Widen(Vector256.Load((uint*)(a + at)));
            Store(d, 2 * at, low.AsInt64(), w.Mask);
            Store(d, (2 * at) + 32, high.AsInt64(), w.Mask);
        }
    }

    /// <summary>d = a b (+ c) in 64 bits, from factors of 32 bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void MultiplyWideSigned(Warp w, Instruction* i)
    {
        byte* d = w.Registers + i->D, a = w.Registers + i->A, b = w.Registers + i->B;
        for (var at = 0; at < 128; at += 32)
        {
            var (aLow, aHigh) = Vector256.Widen(Vector256.Load((int*)(a + at)));
            var (bLow, bHigh) = Vector256.Widen(Vector256.Load((int*)(b + at)));
            Store(d, 2 * at, aLow * bLow, w.Mask);
            Store(d, (2 * at) + 32, aHigh * bHigh, w.Mask);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void MultiplyWideUnsigned(Warp w, Instruction* i)
    {
        byte* d = w.Registers + i->D, a = w.Registers + i->A, b = w.Registers + i->B;
        for (var at = 0; at < 128; at += 32)
        {
            var (aLow, aHigh) = Vector256.Widen(Vector256.Load((uint*)(a + at)));
            var (bLow, bHigh) = Vector256.Widen(Vector256.Load((uint*)(b + at)));
            Store(d, 2 * at, (aLow * bLow).AsInt64(), w.Mask);
            Store(d, (2 * at) + 32, (aHigh * bHigh).AsInt64(), w.Mask);
        }
    }

    /// <summary>cvt from or to a float, a lane at a time.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Float<TD, TA, TOp>(Warp w, Instruction* i)
        where TD : unmanaged
        where TA : unmanaged
        where TOp : IConversion<TD, TA>
    {
        byte* d = w.Registers + i->D, a = w.Registers + i->A;
        for (var mask = w.Mask; mask != 0; mask &= mask - 1)
        {
            var lane = System.Numerics.BitOperations.TrailingZeroCount(mask);
            ((TD*)d)[lane] = TOp.Apply(((TA*)a)[lane]);
        }
    }

    /// <summary>mov.b64 {d, c}, a.</summary>
    public static void Split(Warp w, Instruction* i)
    {
        uint* low = (uint*)(w.Registers + i->D), high = (uint*)(w.Registers + i->B);
        var a = (ulong*)(w.Registers + i->A);
        for (var mask = w.Mask; mask != 0; mask &= mask - 1)
        {
            var lane = System.Numerics.BitOperations.TrailingZeroCount(mask);
            (low[lane], high[lane]) = ((uint)a[lane], (uint)(a[lane] >> 32));
        }
    }

    /// <summary>mov.b64 d, {a, b}.</summary>
    public static void Join(Warp w, Instruction* i)
    {
        var d = (ulong*)(w.Registers + i->D);
        uint* low = (uint*)(w.Registers + i->A), high = (uint*)(w.Registers + i->B);
        for (var mask = w.Mask; mask != 0; mask &= mask - 1)
        {
            var lane = System.Numerics.BitOperations.TrailingZeroCount(mask);
            d[lane] = ((ulong)high[lane] << 32) | low[lane];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(byte* d, int at, Vector256<long> value, uint mask)
    {
        if (mask != Lanes.All)
        {
            value = Vector256.ConditionalSelect(Lanes.Mask<long>(mask, at), value, Vector256.Load((long*)(d + at)));
        }
        value.Store((long*)(d + at));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Write<T>(byte* d, int lane, ulong value)
        where T : unmanaged
    {
        if (sizeof(T) == 4)
        {
            ((uint*)d)[lane] = (uint)value;
        }
        else
        {
            ((ulong*)d)[lane] = value;
        }
    }
}

/// <summary>One number to another type.</summary>
internal interface IConversion<TD, TA>
{
    static abstract TD Apply(TA a);
}

// C# rounds to nearest from integers and from double, and to integers saturates, with 0 for NaN: as PTX does.
internal readonly struct ToNearest :
    IConversion<float, int>, IConversion<float, uint>, IConversion<float, long>, IConversion<float, ulong>, IConversion<float, double>,
    IConversion<double, int>, IConversion<double, uint>, IConversion<double, long>, IConversion<double, ulong>, IConversion<double, float>
{
    public static float Apply(int a) => a;

    public static float Apply(uint a) => a;

    public static float Apply(long a) => a;

    public static float Apply(ulong a) => a;

    public static float Apply(double a) => (float)a;

    static double IConversion<double, int>.Apply(int a) => a;

    static double IConversion<double, uint>.Apply(uint a) => a;

    static double IConversion<double, long>.Apply(long a) => a;

    static double IConversion<double, ulong>.Apply(ulong a) => a;

    static double IConversion<double, float>.Apply(float a) => a;
}

/// <summary>To an integer, after a rounding to a whole number.</summary>
internal readonly struct ToInteger<TRound> :
    IConversion<int, float>, IConversion<uint, float>, IConversion<long, float>, IConversion<ulong, float>,
    IConversion<int, double>, IConversion<uint, double>, IConversion<long, double>, IConversion<ulong, double>
    where TRound : IWhole
{
    static int IConversion<int, float>.Apply(float a) => (int)TRound.Apply(a);

    static uint IConversion<uint, float>.Apply(float a) => (uint)TRound.Apply(a);

    static long IConversion<long, float>.Apply(float a) => (long)TRound.Apply(a);

    static ulong IConversion<ulong, float>.Apply(float a) => (ulong)TRound.Apply(a);

    static int IConversion<int, double>.Apply(double a) => (int)TRound.Apply(a);

    static uint IConversion<uint, double>.Apply(double a) => (uint)TRound.Apply(a);

    static long IConversion<long, double>.Apply(double a) => (long)TRound.Apply(a);

    static ulong IConversion<ulong, double>.Apply(double a) => (ulong)TRound.Apply(a);
}

/// <summary>A rounding to whole numbers; every float is exact in double.</summary>
internal interface IWhole
{
    static abstract double Apply(double a);
}

internal readonly struct Nearest : IWhole
{
    public static double Apply(double a) => Math.Round(a);
}

internal readonly struct TowardZero : IWhole
{
    public static double Apply(double a) => Math.Truncate(a);
}

internal readonly struct Down : IWhole
{
    public static double Apply(double a) => Math.Floor(a);
}

internal readonly struct Up : IWhole
{
    public static double Apply(double a) => Math.Ceiling(a);
}
