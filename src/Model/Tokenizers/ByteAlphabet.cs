using System.Text;

namespace TinyDpo.Models;

/// <summary>
/// GPT-2's bytes_to_unicode: a printable character for each byte, so that a piece of any bytes can be written as a string. Printable bytes
/// of Latin-1 stand for themselves, the others for U+0100 onwards (a space is 'Ġ').
/// </summary>
public static class ByteAlphabet
{
    private static readonly int[] Values = new int[512];

    static ByteAlphabet()
    {
        Array.Fill(Values, -1);
        var others = 0;
        var characters = new char[256];
        for (var value = 0; value < 256; value++)
        {
            var printable = value is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or >= 0xAE;
            characters[value] = (char)(printable ? value : 256 + others++);
            Values[characters[value]] = value;
        }
        Characters = characters;
    }

    /// <summary>The character of each byte.</summary>
    public static IReadOnlyList<char> Characters { get; }

    /// <summary>The piece that stands for <paramref name="bytes"/>.</summary>
    public static string Piece(ReadOnlySpan<byte> bytes)
    {
        var piece = new StringBuilder(bytes.Length);
        foreach (var value in bytes)
        {
            piece.Append(Characters[value]);
        }
        return piece.ToString();
    }

    /// <summary>The bytes of a piece; one with a character outside the alphabet stands for its own UTF-8.</summary>
    public static byte[] Bytes(string piece)
    {
        var bytes = new byte[piece.Length];
        for (var i = 0; i < piece.Length; i++)
        {
            var value = piece[i] < Values.Length ? Values[piece[i]] : -1;
            if (value < 0)
            {
                return Encoding.UTF8.GetBytes(piece);
            }
            bytes[i] = (byte)value;
        }
        return bytes;
    }
}
