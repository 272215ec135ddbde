using System.Globalization;
using System.Text;

namespace TinyDpo.Dpo;

internal enum JinjaKind
{
    /// <summary>What stands outside all tags.</summary>
    Text,
    Name,
    String,
    Number,
    Operator,

    /// <summary>{{ or {%.</summary>
    Open,

    /// <summary>}} or %}.</summary>
    Close,
    End,
}

internal readonly record struct JinjaToken(JinjaKind Kind, string Text, int Line);

/// <summary>
/// Cuts a template into tokens with the white space as transformers sets Jinja up: trim_blocks and lstrip_blocks, a minus in a tag takes all of
/// it, and the template's last line break is not part of it.
/// </summary>
internal sealed class JinjaLexer
{
    private static readonly string[] s_operators =
        ["**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", ".", ",", ":", "|", "(", ")", "[", "]", "{", "}"];

    // More than any template's, and few enough that the stack holds an expression of them.
    private const int MostTokensOfTag = 1000;

    private readonly string _source;
    private readonly List<JinjaToken> _tokens = [];
    private int _at, _counted, _line = 1;

    private JinjaLexer(string source) => _source = source;

    /// <exception cref="JinjaException">A tag or a string has no end, or a character no place in a tag.</exception>
    public static List<JinjaToken> Read(string template)
    {
        var source = template.ReplaceLineEndings("\n");
        var lexer = new JinjaLexer(source.EndsWith('\n') ? source[..^1] : source);
        lexer.ReadAll();
        return lexer._tokens;
    }

    // Counted on from where it was last asked for: from the beginning each time would take a long template's length squared.
    private int Line
    {
        get
        {
            var to = Math.Min(_at, _source.Length);
            _line += _source.AsSpan(_counted, to - _counted).Count('\n');
            _counted = to;
            return _line;
        }
    }

    private void ReadAll()
    {
        var (stripsAll, atLineStart) = (false, true);
        while (true)
        {
            var tag = NextTag();
            var text = _source[_at..tag];
            if (stripsAll)
            {
                text = text.TrimStart();
            }
            if (tag < _source.Length)
            {
                var sign = tag + 2 < _source.Length ? _source[tag + 2] : ' ';
                text = sign == '-' ? text.TrimEnd() : _source[tag + 1] != '{' && sign != '+' ? WithoutIndent(text, atLineStart) : text;
            }
            if (text.Length > 0)
            {
                Add(JinjaKind.Text, text);
            }
            _at = tag;
            if (tag == _source.Length)
            {
                Add(JinjaKind.End, "the template's end");
                return;
            }
            var kind = _source[tag + 1];
            stripsAll = kind == '#' ? SkipComment() : ReadTag(kind == '{' ? "}}" : "%}");
            // A block's or a comment's own line break goes with it.
            atLineStart = !stripsAll && kind != '{' && _at < _source.Length && _source[_at] == '\n';
            _at += atLineStart ? 1 : 0;
        }
    }

    private int NextTag()
    {
        for (var i = _at; i + 1 < _source.Length; i++)
        {
            if (_source[i] == '{' && _source[i + 1] is '{' or '%' or '#')
            {
                return i;
            }
        }
        return _source.Length;
    }

    /// <summary>The text without the white space of its last line, if that holds nothing else.</summary>
    private static string WithoutIndent(string text, bool atLineStart)
    {
        var line = text.LastIndexOf('\n') + 1;
        return (line > 0 || atLineStart) && string.IsNullOrWhiteSpace(text[line..]) ? text[..line] : text;
    }

    private bool SkipComment()
    {
        var end = _source.IndexOf("#}", _at + 2, StringComparison.Ordinal);
        if (end < 0)
        {
            throw JinjaException.At(Line, "a comment has no end");
        }
        _at = end + 2;
        return _source[end - 1] == '-';
    }

    private bool ReadTag(string close)
    {
        var (start, before) = (Line, _tokens.Count);
        Add(JinjaKind.Open, _source.Substring(_at, 2));
        _at += _at + 2 < _source.Length && _source[_at + 2] is '-' or '+' ? 3 : 2;
        var depth = 0; // of braces, whose }} is no end
        while (true)
        {
            while (_at < _source.Length && char.IsWhiteSpace(_source[_at]))
            {
                _at++;
            }
            if (_at >= _source.Length)
            {
                throw JinjaException.At(start, "a tag has no end");
            }
            var strips = _source[_at] == '-' && Starts(close, _at + 1);
            if (depth == 0 && (strips || Starts(close, _at)))
            {
                Add(JinjaKind.Close, close);
                _at += strips ? 3 : 2;
                return strips;
            }
            ReadToken();
            if (_tokens.Count - before > MostTokensOfTag)
            {
                throw JinjaException.At(start, $"a tag holds more than {MostTokensOfTag} words and signs");
            }
            depth += _tokens[^1] switch { (JinjaKind.Operator, "{", _) => 1, (JinjaKind.Operator, "}", _) => -1, _ => 0 };
        }
    }

    private void ReadToken()
    {
        var c = _source[_at];
        var end = _at;
        if (c is '\'' or '"')
        {
            ReadString(c);
            return;
        }
        if (char.IsAsciiLetter(c) || c == '_')
        {
            while (end < _source.Length && (char.IsAsciiLetterOrDigit(_source[end]) || _source[end] == '_'))
            {
                end++;
            }
            Add(JinjaKind.Name, _source[_at..end]);
        }
        else if (char.IsAsciiDigit(c))
        {
            while (end < _source.Length && char.IsAsciiDigit(_source[end]))
            {
                end++;
            }
            Add(JinjaKind.Number, _source[_at..end]);
        }
        else
        {
            var found = Array.Find(s_operators, o => Starts(o, _at)) ?? throw JinjaException.At(Line, $"a tag holds the character {c}");
            Add(JinjaKind.Operator, found);
            end = _at + found.Length;
        }
        _at = end;
    }

    private void ReadString(char quote)
    {
        var (line, text) = (Line, new StringBuilder());
        for (_at++; ; _at++)
        {
            if (_at >= _source.Length)
            {
                throw JinjaException.At(line, "a string has no end");
            }
            if (_source[_at] == quote)
            {
                _at++;
                _tokens.Add(new JinjaToken(JinjaKind.String, text.ToString(), line));
                return;
            }
            if (_source[_at] == '\\' && _at + 1 < _source.Length)
            {
                text.Append(ReadEscape());
            }
            else
            {
                text.Append(_source[_at]);
            }
        }
    }

    // Python's; one that it does not know stays as it is.
    private string ReadEscape()
    {
        var c = _source[++_at];
        var digits = c switch { 'x' => 2, 'u' => 4, 'U' => 8, _ => 0 };
        if (digits > 0 && _at + digits < _source.Length
            && int.TryParse(_source.AsSpan(_at + 1, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var code) && Rune.IsValid(code))
        {
            _at += digits;
            return char.ConvertFromUtf32(code);
        }
        return c switch { 'n' => "\n", 't' => "\t", 'r' => "\r", '\\' or '\'' or '"' => c.ToString(), '\n' => "", _ => $"\\{c}" };
    }

    private bool Starts(string text, int at) => string.CompareOrdinal(_source, at, text, 0, text.Length) == 0;

    private void Add(JinjaKind kind, string text) => _tokens.Add(new JinjaToken(kind, text, Line));
}
