using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;

namespace TinyDpo.Dpo;

/// <summary>Names token sequences, so that what was computed from them is used for no others.</summary>
internal static class TokenHash
{
    /// <summary>SHA-256, in hex, over a text and sequences of ids in their order. Each counts with its length: [1, 2], [3] is not [1], [2, 3].</summary>
    public static string Of(string text, IEnumerable<int[]> sequences)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes(text));
        foreach (var ids in sequences)
        {
            hash.AppendData(BitConverter.GetBytes(ids.Length));
            hash.AppendData(MemoryMarshal.AsBytes(ids.AsSpan()));
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>SHA-256, in hex, of a text.</summary>
    public static string Of(string text) => Of(text, []);
}
