namespace TinyDpo.Simulator;

/// <summary>A word, number, quoted text or single sign of a PTX text, with its line.</summary>
internal readonly record struct PtxToken(string Text, int Line)
{
    /// <summary>The text in a message: quoted text without its end may be all the rest of a file.</summary>
    public string Shown => Text.AsSpan().IndexOfAny('\r', '\n') is >= 0 and var end ? Text[..Math.Min(end, 40)] + "..."
        : Text.Length > 40 ? Text[..40] + "..."
        : Text;
}

/// <summary>PTX cut into tokens, with a place to read at.</summary>
internal sealed class PtxTokens
{
    private static readonly PtxToken End = new("", 0);

    private readonly List<PtxToken> _tokens = [];
    private int _next;

    public PtxTokens(string text)
    {
        var line = 1;
        for (var i = 0; i < text.Length;)
        {
            var c = text[i];
            if (c == '\n')
            {
                line++;
                i++;
            }
            else if (char.IsWhiteSpace(c) || c == '\0')
            {
                i++;
            }
            else if (c == '/' && i + 1 < text.Length && text[i + 1] == '/')
            {
                i = EndOf(text, "\n", i);
            }
            else if (c == '/' && i + 1 < text.Length && text[i + 1] == '*')
            {
                var end = Math.Min(text.Length, EndOf(text, "*/", i) + 2);
                line += text.AsSpan(i, end - i).Count('\n');
                i = end;
            }
            else
            {
                var length = c == '"' ? EndOf(text, "\"", i + 1) + 1 - i : Math.Max(1, WordLength(text, i));
                length = Math.Min(length, text.Length - i);
                _tokens.Add(new PtxToken(text.Substring(i, length), line));
                i += length;
            }
        }
    }

    public PtxToken Peek => _next < _tokens.Count ? _tokens[_next] : Last;

    public bool AtEnd => _next >= _tokens.Count;

    private PtxToken Last => _tokens.Count > 0 ? End with { Line = _tokens[^1].Line } : End;

    /// <exception cref="SimulationException">No token is left.</exception>
    public PtxToken Take()
    {
        var token = AtEnd ? throw new SimulationException($"kernels.ptx:{Peek.Line}: the text ends too early") : Peek;
        _next++;
        return token;
    }

    /// <summary>Goes back to the first token.</summary>
    public void Rewind() => _next = 0;

    /// <summary>Takes the next token if it is this one.</summary>
    public bool TryTake(string text)
    {
        if (AtEnd || _tokens[_next].Text != text)
        {
            return false;
        }
        _next++;
        return true;
    }

    /// <exception cref="SimulationException">Another token stands here.</exception>
    public void Expect(string text)
    {
        if (!TryTake(text))
        {
            throw new SimulationException($"kernels.ptx:{Peek.Line}: '{text}' expected, found '{Peek.Shown}'");
        }
    }

    /// <exception cref="SimulationException">No whole number stands here.</exception>
    public int TakeInt()
    {
        var token = Take();
        return int.TryParse(token.Text, System.Globalization.CultureInfo.InvariantCulture, out var value)
            ? value
            : throw new SimulationException($"kernels.ptx:{token.Line}: a number expected, found '{token.Shown}'");
    }

    /// <summary>Whether the token after the next one is this one.</summary>
    public bool FollowedBy(string text) => _next + 1 < _tokens.Count && _tokens[_next + 1].Text == text;

    public void SkipLine()
    {
        var line = Peek.Line;
        while (!AtEnd && Peek.Line == line)
        {
            _next++;
        }
    }

    /// <summary>Skips up to and with the given token.</summary>
    public void SkipPast(string text)
    {
        while (!AtEnd && Take().Text != text)
        {
        }
    }

    private static int WordLength(string text, int from)
    {
        var end = from;
        while (end < text.Length && (char.IsAsciiLetterOrDigit(text[end]) || text[end] is '_' or '$' or '%' or '.'))
        {
            end++;
        }
        return end - from;
    }

    private static int EndOf(string text, string what, int from)
    {
        var end = text.IndexOf(what, from, StringComparison.Ordinal);
        return end < 0 ? text.Length : end;
    }
}
