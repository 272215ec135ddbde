using System.Numerics;

namespace TinyDpo.Simulator;

// What is done a lane at a time, on bits. A 32-bit operand comes zero-extended, and of a result the low bits are kept.
internal readonly struct MultiplyHighUnsigned : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => (a * b) >> 32;
}

internal readonly struct MultiplyHighSigned : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => (ulong)(((long)(int)a * (int)b) >> 32);
}

internal readonly struct MultiplyHighUnsigned64 : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => Math.BigMul(a, b, out _);
}

internal readonly struct MultiplyHighSigned64 : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => (ulong)Math.BigMul((long)a, (long)b, out _);
}

internal readonly struct MultiplyAddHighUnsigned : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => ((a * b) >> 32) + c;
}

internal readonly struct MultiplyAddHighSigned : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => (ulong)(((long)(int)a * (int)b) >> 32) + c;
}

internal readonly struct MultiplyWideUnsigned : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => a * b;
}

internal readonly struct MultiplyWideSigned : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => (ulong)((long)(int)a * (int)b);
}

internal readonly struct MultiplyAddWideUnsigned : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => (a * b) + c;
}

internal readonly struct MultiplyAddWideSigned : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => (ulong)((long)(int)a * (int)b) + c;
}

// Division by zero gives no error on a GPU: its result is not specified. All ones stand out.
internal readonly struct DivideUnsigned : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => b == 0 ? ulong.MaxValue : a / b;
}

internal readonly struct RemainderUnsigned : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => b == 0 ? ulong.MaxValue : a % b;
}

internal readonly struct DivideSigned : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => b == 0 ? ulong.MaxValue : (ulong)((long)(int)a / (int)b);
}

internal readonly struct RemainderSigned : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => b == 0 ? ulong.MaxValue : (ulong)((long)(int)a % (int)b);
}

internal readonly struct DivideSigned64 : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => b switch
    {
        0 => ulong.MaxValue,
        ulong.MaxValue => 0 - a,
        _ => (ulong)((long)a / (long)b),
    };
}

internal readonly struct RemainderSigned64 : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => b switch
    {
        0 => ulong.MaxValue,
        ulong.MaxValue => 0,
        _ => (ulong)((long)a % (long)b),
    };
}

internal readonly struct ShiftLeft64 : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => b > 63 ? 0 : a << (int)b;
}

internal readonly struct ShiftRight64 : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => b > 63 ? 0 : a >> (int)b;
}

internal readonly struct ShiftRightSigned64 : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => (ulong)((long)a >> (int)Math.Min(63, b));
}

internal readonly struct Add16 : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => (ushort)(a + b);
}

internal readonly struct Subtract16 : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => (ushort)(a - b);
}

internal readonly struct MultiplyLow16 : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => (ushort)(a * b);
}

internal readonly struct MultiplyAddLow16 : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => (ushort)((a * b) + c);
}

internal readonly struct Not16 : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => (ushort)~a;
}

internal readonly struct Negate16 : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => (ushort)(0 - a);
}

internal readonly struct ShiftLeft16 : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => b > 15 ? 0UL : (ushort)(a << (int)b);
}

internal readonly struct ShiftRight16 : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => b > 15 ? 0 : a >> (int)b;
}

internal readonly struct ShiftRightSigned16 : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => (ushort)((short)a >> (int)Math.Min(15, b));
}

internal readonly struct CountBits : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => (ulong)BitOperations.PopCount(a);
}

internal readonly struct LeadingZeros : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => (ulong)BitOperations.LeadingZeroCount((uint)a);
}

internal readonly struct LeadingZeros64 : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => (ulong)BitOperations.LeadingZeroCount(a);
}

internal readonly struct Reverse : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c)
    {
        uint result = 0;
        for (var bit = 0; bit < 32; bit++)
        {
            result |= (uint)((a >> bit) & 1) << (31 - bit);
        }
        return result;
    }
}

/// <summary>c bits of a from bit b on.</summary>
internal readonly struct ExtractUnsigned : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c)
    {
        var (position, length) = ((int)(b & 255), (int)(c & 255));
        return position > 31 || length == 0 ? 0 : (a >> position) & (length > 31 ? uint.MaxValue : (1u << length) - 1);
    }
}

internal readonly struct ExtractSigned : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c)
    {
        var (position, length) = ((int)(b & 255), (int)(c & 255));
        if (length == 0)
        {
            return 0;
        }
        var sign = (a >> Math.Min(position + length - 1, 31)) & 1;
        var field = ExtractUnsigned.Apply(a, b, c);
        var kept = Math.Max(0, Math.Min(length, 32 - position));
        return sign == 0 || kept > 31 ? field : field | (ulong.MaxValue << kept);
    }
}

/// <summary>The 32 bits of b:a from bit c (at most 32) on.</summary>
internal readonly struct FunnelRightClamp : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => ((b << 32) | a) >> (int)Math.Min(32, c);
}

internal readonly struct FunnelRightWrap : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => ((b << 32) | a) >> (int)(c & 31);
}

internal readonly struct FunnelLeftClamp : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => c > 31 ? a : (((b << 32) | a) << (int)c) >> 32;
}

internal readonly struct FunnelLeftWrap : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c) => (((b << 32) | a) << (int)(c & 31)) >> 32;
}

/// <summary>Four bytes chosen from b:a by the nibbles of c; a nibble's high bit spreads the byte's sign.</summary>
internal readonly struct Permute : IScalar
{
    public static ulong Apply(ulong a, ulong b, ulong c)
    {
        var both = (b << 32) | a;
        uint result = 0;
        for (var i = 0; i < 4; i++)
        {
            var selector = (int)(c >> (4 * i)) & 15;
            var value = (uint)(byte)(both >> (8 * (selector & 7)));
            result |= ((selector & 8) == 0 ? value : (value & 128) == 0 ? 0u : 255u) << (8 * i);
        }
        return result;
    }
}
