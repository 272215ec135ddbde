using System.Text;
using TinyDpo.Kernels;

namespace TinyDpo.Tests;

/// <summary>Files made from good ones by a few random changes, each file a function of seed and number.</summary>
internal static class Mutation
{
    // What parsers stumble over: numbers out of range, brackets, escapes, marks, keys of the formats.
    private static readonly byte[][] s_words =
    [
        .. new[]
        {
            "-1", "0", "99999999999999999999", "2147483648", "9223372036854775807", "1e999", "-0.0", "null", "true", "[]", "{}", "[", "]", "{", "}", ",", ":",
            "\"", "\\", "\\ud800", "\\u0000", "\n", "\"\"", "\"id\"", "\"shape\"", "\"data_offsets\"", "[0,4]", "F16", "BOOL", "weight", " ", "#", ".reg", ";",
        }.Select(Encoding.UTF8.GetBytes),
        [0], [0xff, 0xff, 0xff, 0xff], [0xff, 0xff, 0xff, 0x7f], [0, 0, 0, 0x80], [0xc3], [0xef, 0xbb, 0xbf], [0x1f, 0x8b],
    ];

    /// <summary>The mutated file of this number: 1 to 6 changes of <paramref name="good"/>.</summary>
    public static byte[] Of(byte[] good, ulong seed, int number)
    {
        var place = 0;
        var bytes = good.ToList();
        for (var changes = 1 + Below(6); changes > 0; changes--)
        {
            var at = Below(bytes.Count + 1);
            var length = Math.Min(bytes.Count - at, 1 + Below(Below(4) == 0 ? 400 : 8));
            switch (Below(7))
            {
                case 0 when at < bytes.Count:
                    bytes[at] ^= (byte)(1 << Below(8));
                    break;
                case 1 when at < bytes.Count:
                    bytes[at] = (byte)Below(256);
                    break;
                case 2:
                    bytes.RemoveRange(at, length);
                    break;
                case 3:
                    bytes.InsertRange(Below(bytes.Count + 1), bytes.GetRange(at, length));
                    break;
                case 4:
                    bytes.InsertRange(at, s_words[Below(s_words.Length)]);
                    break;
                case 5:
                    bytes.RemoveRange(at, length);
                    bytes.InsertRange(at, s_words[Below(s_words.Length)]);
                    break;
                case 6 when Below(8) == 0:
                    bytes.RemoveRange(at, bytes.Count - at);
                    break;
            }
        }
        return [.. bytes];

        int Below(int bound) => (int)(bound * Philox.Uniform(seed, RandomPurpose.Test, 3, number, place++));
    }
}
