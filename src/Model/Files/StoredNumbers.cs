using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace TinyDpo.Models;

/// <summary>The formats in which files hold numbers, under the names of safetensors.</summary>
public enum NumberFormat
{
    F16,
    BF16,
    F32,
    F64,
}

/// <summary>Numbers as little-endian bytes in files, to and from <see cref="Real"/>.</summary>
internal static class StoredNumbers
{
    /// <summary>Numbers converted at a time: bounds the buffers, whatever the size of the tensor.</summary>
    public const int Chunk = 1 << 16;

    public static int Bytes(NumberFormat format) => format switch
    {
        NumberFormat.F16 or NumberFormat.BF16 => 2,
        NumberFormat.F32 => 4,
        _ => 8,
    };

    /// <summary>Fills <paramref name="destination"/> with the numbers from byte <paramref name="offset"/> of the file on.</summary>
    /// <exception cref="InputException">The file ends before, or cannot be read.</exception>
    public static void Read(string path, SafeFileHandle handle, long offset, NumberFormat format, Span<Real> destination)
    {
        if (BitConverter.IsLittleEndian && format == Exact)
        {
            InputFile.ReadExactly(path, handle, MemoryMarshal.AsBytes(destination), offset);
            return;
        }
        var size = Bytes(format);
        var rented = ArrayPool<byte>.Shared.Rent(Math.Min(destination.Length, Chunk) * size);
        try
        {
            while (destination.Length > 0)
            {
                var count = Math.Min(destination.Length, Chunk);
                var bytes = rented.AsSpan(0, count * size);
                InputFile.ReadExactly(path, handle, bytes, offset);
                Decode(format, bytes, destination[..count]);
                destination = destination[count..];
                offset += bytes.Length;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    /// <summary>The format that keeps every bit of a <see cref="Real"/>.</summary>
    public static NumberFormat Exact => sizeof(Real) == sizeof(float) ? NumberFormat.F32 : NumberFormat.F64;

    /// <summary>Writes numbers, rounded to the nearest of the format, ties to even.</summary>
    public static void Write(Stream stream, NumberFormat format, ReadOnlySpan<Real> values)
    {
        Span<byte> bytes = stackalloc byte[4096];
        var size = Bytes(format);
        while (values.Length > 0)
        {
            var count = Math.Min(values.Length, bytes.Length / size);
            for (var i = 0; i < count; i++)
            {
                Encode(format, values[i], bytes[(i * size)..]);
            }
            stream.Write(bytes[..(count * size)]);
            values = values[count..];
        }
    }

    /// <summary>Whether a finite number stays one in the format.</summary>
    public static bool Holds(NumberFormat format, Real value) => format switch
    {
        NumberFormat.F16 => Half.IsFinite((Half)value),
        NumberFormat.BF16 => (ToBFloat16((float)value) & 0x7F80) != 0x7F80,
        NumberFormat.F32 => float.IsFinite((float)value),
        _ => true,
    };

    private static void Encode(NumberFormat format, Real value, Span<byte> bytes)
    {
        switch (format)
        {
            case NumberFormat.F16:
                BinaryPrimitives.WriteHalfLittleEndian(bytes, (Half)value);
                break;
            case NumberFormat.BF16:
                BinaryPrimitives.WriteUInt16LittleEndian(bytes, ToBFloat16((float)value));
                break;
            case NumberFormat.F32:
                BinaryPrimitives.WriteSingleLittleEndian(bytes, (float)value);
                break;
            default:
                BinaryPrimitives.WriteDoubleLittleEndian(bytes, value);
                break;
        }
    }

    // bfloat16 is the upper half of a float32. A NaN must not round to infinity.
    private static ushort ToBFloat16(float value)
    {
        var bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value) ? (ushort)((bits >> 16) | 0x40) : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    private static void Decode(NumberFormat format, ReadOnlySpan<byte> bytes, Span<Real> values)
    {
        switch (format)
        {
            case NumberFormat.F16:
                for (var i = 0; i < values.Length; i++)
                {
                    values[i] = (Real)BinaryPrimitives.ReadHalfLittleEndian(bytes[(2 * i)..]);
                }
                break;
            case NumberFormat.BF16:
                for (var i = 0; i < values.Length; i++)
                {
                    values[i] = BitConverter.UInt32BitsToSingle((uint)BinaryPrimitives.ReadUInt16LittleEndian(bytes[(2 * i)..]) << 16);
                }
                break;
            case NumberFormat.F32:
                for (var i = 0; i < values.Length; i++)
                {
                    values[i] = BinaryPrimitives.ReadSingleLittleEndian(bytes[(4 * i)..]);
                }
                break;
            default:
                for (var i = 0; i < values.Length; i++)
                {
                    values[i] = (Real)BinaryPrimitives.ReadDoubleLittleEndian(bytes[(8 * i)..]);
                }
                break;
        }
    }
}
