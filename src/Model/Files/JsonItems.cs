namespace TinyDpo.Models;

/// <summary>
/// The values of a JSON list one at a time, each as its bytes, so that a long list is never whole in memory. Only brackets, strings and
/// commas are looked at: what a value holds is for its parser to judge.
/// </summary>
internal sealed class JsonItems(string path, InputBytes input)
{
    private enum Place
    {
        BeforeList,
        FirstOrEnd,
        Next,
        Inside,
        AfterList,
    }

    private readonly byte[] _buffer = new byte[1 << 16];
    private byte[] _item = new byte[1 << 12];
    private int _length;
    private int _line = 1;

    /// <summary>Each value with the line on which it begins, from 1; valid until the next is asked for.</summary>
    /// <exception cref="InputException">While enumerating: the list does not end, or its commas are wrong.</exception>
    public IEnumerable<(int Line, ReadOnlyMemory<byte> Bytes)> Read()
    {
        var (place, depth, quoted, escaped, start) = (Place.BeforeList, 0, false, false, 1);
        for (var filled = input.Read(_buffer); filled > 0; filled = input.Read(_buffer))
        {
            for (var i = 0; i < filled; i++)
            {
                var value = _buffer[i];
                if (place != Place.Inside)
                {
                    if (value is (byte)' ' or (byte)'\t' or (byte)'\r' or (byte)'\n' || (place == Place.BeforeList && value is 0xEF or 0xBB or 0xBF))
                    {
                        _line += value == (byte)'\n' ? 1 : 0;
                        continue;
                    }
                    if (place == Place.AfterList || (place == Place.Next && value is (byte)',' or (byte)']') || (place == Place.FirstOrEnd && value == (byte)','))
                    {
                        throw Fault($"'{Quoted.Text(((char)value).ToString())}' is not expected here");
                    }
                    if (place == Place.BeforeList)
                    {
                        place = value == (byte)'[' ? Place.FirstOrEnd : throw Fault("the list does not begin with '['");
                        continue;
                    }
                    if (value == (byte)']')
                    {
                        place = Place.AfterList;
                        continue;
                    }
                    (place, depth, quoted, escaped, start, _length) = (Place.Inside, 0, false, false, _line, 0);
                }
                if (!quoted && depth == 0 && value is (byte)',' or (byte)']')
                {
                    yield return (start, _item.AsMemory(0, _length));
                    place = value == (byte)',' ? Place.Next : Place.AfterList;
                    continue;
                }
                _line += value == (byte)'\n' ? 1 : 0;
                if (quoted)
                {
                    (quoted, escaped) = (escaped || value != (byte)'"', !escaped && value == (byte)'\\');
                }
                else
                {
                    quoted = value == (byte)'"';
                    depth += value is (byte)'[' or (byte)'{' ? 1 : value is (byte)']' or (byte)'}' ? -1 : 0;
                }
                Append(value);
            }
        }
        if (place != Place.AfterList)
        {
            throw Fault("the list does not end");
        }
    }

    private void Append(byte value)
    {
        if (_length == _item.Length)
        {
            if (_length >= InputLimit.Line.Bytes)
            {
                throw Fault($"a value is longer than {InputLimit.Line.Bytes} bytes");
            }
            Array.Resize(ref _item, Math.Min(2 * _item.Length, InputLimit.Line.Bytes));
        }
        _item[_length++] = value;
    }

    private InputException Fault(string problem) => new(path, $"line {_line}", $"not valid JSON: {problem}", "correct the file");
}
