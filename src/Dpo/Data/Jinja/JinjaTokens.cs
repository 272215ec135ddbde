namespace TinyDpo.Dpo;

/// <summary>The tokens of a template, and what parsers of expressions and of statements share.</summary>
internal abstract class JinjaTokens(List<JinjaToken> tokens)
{
    // Deeper than any template, and far from the end of a thread's stack.
    private const int MostDepth = 64;

    private int _at, _depth;

    protected int At => _at;

    protected JinjaToken Now => tokens[_at];

    protected JinjaToken Next => tokens[Math.Min(_at + 1, tokens.Count - 1)];

    protected JinjaToken Take() => tokens[_at < tokens.Count - 1 ? _at++ : _at];

    protected bool Is(JinjaKind kind, string text) => Now.Kind == kind && Now.Text == text;

    protected bool TakeIf(JinjaKind kind, string text)
    {
        var taken = Is(kind, text);
        _at += taken ? 1 : 0;
        return taken;
    }

    protected bool TakeSign(string text) => TakeIf(JinjaKind.Operator, text);

    protected bool TakeWord(string text) => TakeIf(JinjaKind.Name, text);

    protected void Expect(JinjaKind kind, string text)
    {
        if (!TakeIf(kind, text))
        {
            throw JinjaException.At(Now.Line, $"{Now.Text} stands where {text} should");
        }
    }

    protected string TakeName() =>
        Now.Kind == JinjaKind.Name ? Take().Text : throw JinjaException.At(Now.Line, $"{Now.Text} stands where a name should");

    protected T Nested<T>(Func<T> parse)
    {
        if (++_depth > MostDepth)
        {
            throw JinjaException.At(Now.Line, $"the template is nested more than {MostDepth} deep");
        }
        var result = parse();
        _depth--;
        return result;
    }
}
