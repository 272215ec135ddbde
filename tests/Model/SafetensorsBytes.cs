using System.Buffers.Binary;
using System.Text;

namespace TinyDpo.Tests;

/// <summary>Safetensors files made by hand, right or wrong.</summary>
internal static class SafetensorsBytes
{
    public static byte[] File(string header, ReadOnlySpan<byte> data) => File(Encoding.UTF8.GetBytes(header), data);

    public static byte[] File(ReadOnlySpan<byte> header, ReadOnlySpan<byte> data)
    {
        var length = new byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(length, (ulong)header.Length);
        return [.. length, .. header, .. data];
    }

    public static byte[] File(string header, int dataBytes) => File(header, new byte[dataBytes]);

    /// <summary>The data of a file: all after its header.</summary>
    public static ReadOnlySpan<byte> Data(byte[] file) => file.AsSpan(sizeof(ulong) + (int)BinaryPrimitives.ReadUInt64LittleEndian(file));

    public static string Header(byte[] file) =>
        Encoding.UTF8.GetString(file, sizeof(ulong), (int)BinaryPrimitives.ReadUInt64LittleEndian(file));
}
