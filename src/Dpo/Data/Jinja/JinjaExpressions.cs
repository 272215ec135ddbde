using System.Globalization;

namespace TinyDpo.Dpo;

/// <summary>Jinja's expressions, each as the function of the variables that gives its value; tighter operators further down.</summary>
internal abstract class JinjaExpressions(List<JinjaToken> tokens) : JinjaTokens(tokens)
{
    // What an empty list or mapping takes, in places of a list.
    private const int OfAContainer = 2;

    /// <summary>An expression of a statement, with the work that it is.</summary>
    protected Func<JinjaScope, object?> Whole(Func<Func<JinjaScope, object?>> parse)
    {
        var (from, line) = (At, Now.Line);
        var value = parse();
        var tokens = At - from;
        return s =>
        {
            s.Work.Step(tokens, line);
            return value(s);
        };
    }

    protected Func<JinjaScope, object?> Expression() => Nested(Conditional);

    private Func<JinjaScope, object?> Conditional()
    {
        var value = Or();
        while (TakeWord("if"))
        {
            var (then, condition) = (value, Or());
            var otherwise = TakeWord("else") ? Expression() : static _ => new JinjaUndefined("an if without else");
            value = s => JinjaValues.IsTrue(condition(s)) ? then(s) : otherwise(s);
        }
        return value;
    }

    protected Func<JinjaScope, object?> Or()
    {
        var value = And();
        while (TakeWord("or"))
        {
            var (left, right) = (value, And());
            value = s => left(s) is var first && JinjaValues.IsTrue(first) ? first : right(s);
        }
        return value;
    }

    private Func<JinjaScope, object?> And()
    {
        var value = Not();
        while (TakeWord("and"))
        {
            var (left, right) = (value, Not());
            value = s => left(s) is var first && JinjaValues.IsTrue(first) ? right(s) : first;
        }
        return value;
    }

    private Func<JinjaScope, object?> Not()
    {
        if (!TakeWord("not"))
        {
            return Comparison();
        }
        var value = Nested(Not);
        return s => !JinjaValues.IsTrue(value(s));
    }

    private Func<JinjaScope, object?> Comparison()
    {
        var value = Sum();
        while (ComparisonSign() is { } sign)
        {
            var (left, right, line) = (value, Sum(), Now.Line);
            value = s => JinjaValues.Compare(sign, left(s), right(s), s.At(line));
        }
        return value;
    }

    private string? ComparisonSign()
    {
        if (Now.Kind == JinjaKind.Operator && Now.Text is "==" or "!=" or "<" or ">" or "<=" or ">=")
        {
            return Take().Text;
        }
        if (TakeWord("in"))
        {
            return "in";
        }
        if (!Is(JinjaKind.Name, "not") || Next is not { Kind: JinjaKind.Name, Text: "in" })
        {
            return null;
        }
        Take();
        Take();
        return "not in";
    }

    private Func<JinjaScope, object?> Sum() => Binary(Concatenation, "+", "-");

    private Func<JinjaScope, object?> Concatenation()
    {
        var value = Product();
        while (TakeSign("~"))
        {
            var (left, right, line) = (value, Product(), Now.Line);
            value = s => JinjaValues.Sum(JinjaValues.Text(left(s), s.At(line)), JinjaValues.Text(right(s), s.At(line)), s.At(line));
        }
        return value;
    }

    private Func<JinjaScope, object?> Product() => Binary(Unary, "*", "//", "%");

    private Func<JinjaScope, object?> Binary(Func<Func<JinjaScope, object?>> operand, params string[] signs)
    {
        var value = operand();
        while (Now.Kind == JinjaKind.Operator && signs.Contains(Now.Text))
        {
            var (sign, line) = (Take().Text, Now.Line);
            var (left, right) = (value, operand());
            value = s => JinjaValues.Arithmetic(sign, left(s), right(s), s.At(line));
        }
        return value;
    }

    private Func<JinjaScope, object?> Unary()
    {
        var line = Now.Line;
        if (!TakeSign("-"))
        {
            return Filtered(Postfix(Primary()));
        }
        var value = Nested(Unary);
        return s => JinjaValues.Arithmetic("-", 0L, value(s), s.At(line));
    }

    private Func<JinjaScope, object?> Primary()
    {
        var token = Take();
        switch (token.Kind, token.Text)
        {
            case (JinjaKind.String, var text):
                while (Now.Kind == JinjaKind.String)
                {
                    text += Take().Text; // neighbours are one, as in Python
                }
                return _ => text;
            case (JinjaKind.Number, var digits) when long.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var number):
                return _ => number;
            case (JinjaKind.Name, "true" or "True"):
                return static _ => true;
            case (JinjaKind.Name, "false" or "False"):
                return static _ => false;
            case (JinjaKind.Name, "none" or "None"):
                return static _ => null;
            case (JinjaKind.Name, var name) when TakeSign("("):
                var arguments = Arguments(token.Line);
                return s => JinjaFunctions.Call(name, arguments(s), s.At(token.Line));
            case (JinjaKind.Name, var name):
                return s => s[name];
            case (JinjaKind.Operator, "("):
                var inner = Expression();
                Expect(JinjaKind.Operator, ")");
                return inner;
            case (JinjaKind.Operator, "["):
                var items = Items("]").Items;
                return s => List(items, s, token.Line);
            case (JinjaKind.Operator, "{"):
                var entries = Entries();
                return s => Mapping(entries, s, token.Line);
            default:
                throw JinjaException.At(token.Line, $"{token.Text} stands where a value should");
        }
    }

    private Func<JinjaScope, object?> Postfix(Func<JinjaScope, object?> value)
    {
        while (true)
        {
            var (container, line) = (value, Now.Line);
            if (TakeSign("."))
            {
                var name = TakeName();
                if (!TakeSign("("))
                {
                    value = s => JinjaValues.Item(container(s), name, s.At(line));
                    continue;
                }
                var arguments = Arguments(line);
                value = s => JinjaFunctions.Method(container(s), name, arguments(s), s.At(line));
            }
            else if (TakeSign("["))
            {
                value = Subscript(container, line);
            }
            else
            {
                return value;
            }
        }
    }

    private Func<JinjaScope, object?> Subscript(Func<JinjaScope, object?> container, int line)
    {
        Func<JinjaScope, object?>?[] bounds = [Is(JinjaKind.Operator, ":") ? null : Expression(), null, null];
        var colons = 0;
        while (colons < 2 && TakeSign(":"))
        {
            bounds[++colons] = Is(JinjaKind.Operator, ":") || Is(JinjaKind.Operator, "]") ? null : Expression();
        }
        Expect(JinjaKind.Operator, "]");
        return colons == 0
            ? s => JinjaValues.Item(container(s), bounds[0]!(s), s.At(line))
            : s => JinjaValues.Slice(container(s), bounds[0]?.Invoke(s), bounds[1]?.Invoke(s), bounds[2]?.Invoke(s), s.At(line));
    }

    private Func<JinjaScope, object?> Filtered(Func<JinjaScope, object?> value)
    {
        while (true)
        {
            var (input, line) = (value, Now.Line);
            if (TakeSign("|"))
            {
                var name = TakeName();
                var arguments = TakeSign("(") ? Arguments(line) : Given([], [], line);
                value = s => JinjaFunctions.Filter(name, input(s), arguments(s), s.At(line));
            }
            else if (TakeWord("is"))
            {
                var negated = TakeWord("not");
                var name = TakeName();
                var arguments = TakeSign("(") ? Arguments(line) : Given(TestsOperand(), [], line);
                value = s => JinjaFunctions.Test(name, input(s), arguments(s), s.At(line)) != negated;
            }
            else
            {
                return value;
            }
        }
    }

    // A test's one operand may stand without parentheses.
    private List<Func<JinjaScope, object?>> TestsOperand() =>
        Now.Kind is JinjaKind.String or JinjaKind.Number || Is(JinjaKind.Operator, "[") || (Now.Kind == JinjaKind.Name && Now.Text is not ("else" or "or" or "and" or "is" or "if" or "in" or "not"))
            ? [Postfix(Primary())]
            : [];

    private Func<JinjaScope, JinjaArguments> Arguments(int line)
    {
        var (items, named) = Items(")");
        return Given(items, named, line);
    }

    private static Func<JinjaScope, JinjaArguments> Given(
        List<Func<JinjaScope, object?>> items, List<(string Name, Func<JinjaScope, object?> Value)> named, int line) =>
        s => new(List(items, s, line), Mapping(named, s, line));

    private (List<Func<JinjaScope, object?>> Items, List<(string Name, Func<JinjaScope, object?> Value)> Named) Items(string end)
    {
        var (items, named) = (new List<Func<JinjaScope, object?>>(), new List<(string, Func<JinjaScope, object?>)>());
        while (!TakeSign(end))
        {
            if (end == ")" && Now.Kind == JinjaKind.Name && Next is { Kind: JinjaKind.Operator, Text: "=" })
            {
                var name = TakeName();
                Take();
                named.Add(!named.Exists(n => n.Item1 == name) ? (name, Expression()) : throw JinjaException.At(Now.Line, $"the argument '{name}' is given twice"));
            }
            else if (named.Count > 0)
            {
                throw JinjaException.At(Now.Line, $"{Now.Text} stands behind named arguments, and has no name");
            }
            else
            {
                items.Add(Expression());
            }
            if (!Is(JinjaKind.Operator, end))
            {
                Expect(JinjaKind.Operator, ",");
            }
        }
        return (items, named);
    }

    private List<(string Name, Func<JinjaScope, object?> Value)> Entries()
    {
        var entries = new List<(string, Func<JinjaScope, object?>)>();
        while (!TakeSign("}"))
        {
            var key = Now.Kind == JinjaKind.String ? Take().Text : throw JinjaException.At(Now.Line, "a mapping's key must be a string");
            Expect(JinjaKind.Operator, ":");
            entries.Add((key, Expression()));
            if (!Is(JinjaKind.Operator, "}"))
            {
                Expect(JinjaKind.Operator, ",");
            }
        }
        return entries;
    }

    private static List<object?> List(List<Func<JinjaScope, object?>> items, JinjaScope scope, int line)
    {
        scope.Work.MakeList(items.Count + OfAContainer, line);
        return [.. items.Select(item => item(scope))];
    }

    private static Dictionary<string, object?> Mapping(List<(string Name, Func<JinjaScope, object?> Value)> entries, JinjaScope scope, int line)
    {
        scope.Work.MakeList((2L * entries.Count) + OfAContainer, line);
        var values = new Dictionary<string, object?>();
        foreach (var (name, value) in entries)
        {
            values[name] = value(scope);
        }
        return values;
    }
}
