namespace TinyDpo.Models;

/// <summary>A file's lines as bytes, packed with gzip or not, each at most <see cref="InputLimit.Line"/> long.</summary>
public static class InputLines
{
    /// <summary>Lines, numbered from 1, without their line feed.</summary>
    /// <returns>Each line is valid until the next is asked for.</returns>
    /// <exception cref="InputException">While enumerating: the file cannot be read, or a line is too long; names it.</exception>
    public static IEnumerable<(int Line, ReadOnlyMemory<byte> Bytes)> Read(string path)
    {
        using var input = InputBytes.Open(path);
        var most = InputLimit.Line.Bytes;
        var buffer = new byte[1 << 16];
        var (start, scanned, filled, line) = (0, 0, 0, 1);
        while (true)
        {
            var feed = buffer.AsSpan(scanned, filled - scanned).IndexOf((byte)'\n');
            if (feed >= 0)
            {
                yield return (line++, buffer.AsMemory(start, scanned + feed - start));
                start = scanned = scanned + feed + 1;
                continue;
            }
            buffer.AsSpan(start, filled - start).CopyTo(buffer);
            (filled, start) = (filled - start, 0);
            scanned = filled;
            if (filled > most)
            {
                throw new InputException(path, $"line {line}", $"is longer than {most} bytes", "shorten that line, or leave it out");
            }
            if (filled == buffer.Length)
            {
                Array.Resize(ref buffer, Math.Min(2 * buffer.Length, most + 1));
            }
            var read = input.Read(buffer.AsMemory(filled));
            if (read == 0)
            {
                if (filled > 0)
                {
                    yield return (line, buffer.AsMemory(0, filled));
                }
                yield break;
            }
            filled += read;
        }
    }
}
