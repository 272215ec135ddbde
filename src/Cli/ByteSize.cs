using System.Globalization;

namespace TinyDpo.Cli;

/// <summary>Numbers of bytes as Hugging Face's max_shard_size has them: decimal (KB, MB, GB, TB) or binary (KiB, MiB, GiB, TiB) units.</summary>
internal static class ByteSize
{
    private static readonly (string Unit, long Bytes)[] s_units =
    [
        ("KiB", 1L << 10), ("MiB", 1L << 20), ("GiB", 1L << 30), ("TiB", 1L << 40), ("KB", 1000), ("MB", 1000_000), ("GB", 1000_000_000),
        ("TB", 1000_000_000_000), ("", 1),
    ];

    /// <summary>Whether a text is a whole number of bytes or of a unit, above 0. Case does not matter.</summary>
    public static bool TryParse(string text, out long bytes)
    {
        var (unit, factor) = s_units.First(u => text.EndsWith(u.Unit, StringComparison.OrdinalIgnoreCase));
        bytes = 0;
        if (!long.TryParse(text.AsSpan(..^unit.Length).TrimEnd(), NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            || number < 1 || number > long.MaxValue / factor)
        {
            return false;
        }
        bytes = number * factor;
        return true;
    }
}
