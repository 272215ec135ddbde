namespace TinyDpo.Dpo;

/// <summary>
/// A template in as much of Jinja as those of conversations use: text, {{ expressions }}, if, for, set, and what <see cref="JinjaFunctions"/>
/// holds. What is not supported is refused where it stands, or, a function, where it is reached: nothing is passed over.
/// </summary>
internal sealed class JinjaTemplate
{
    private readonly Action<JinjaScope> _body;

    private JinjaTemplate(Action<JinjaScope> body) => _body = body;

    /// <exception cref="JinjaException">The text is no template, or holds a statement that is not supported.</exception>
    public static JinjaTemplate Parse(string text) => new(new Statements(JinjaLexer.Read(text)).ReadAll());

    /// <summary>The template's text for these variables.</summary>
    /// <exception cref="JinjaException">The template refuses them, or reaches what is not supported.</exception>
    public string Render(IEnumerable<(string Name, object? Value)> variables)
    {
        var scope = new JinjaScope(null, new JinjaWork());
        foreach (var (name, value) in variables)
        {
            scope[name] = value;
        }
        _body(scope);
        return scope.Work.Output;
    }

    private sealed class Statements(List<JinjaToken> tokens) : JinjaExpressions(tokens)
    {
        public Action<JinjaScope> ReadAll()
        {
            var body = Body();
            return Now.Kind == JinjaKind.End ? body : throw JinjaException.At(Now.Line, $"{Next.Text} stands alone");
        }

        /// <summary>Statements up to the end, or to a tag that ends or parts the one around them.</summary>
        private Action<JinjaScope> Body()
        {
            var parts = new List<Action<JinjaScope>>();
            while (Now.Kind != JinjaKind.End && !(Is(JinjaKind.Open, "{%") && Next.Text is "else" or "elif" or "endif" or "endfor" or "endset" or "endgeneration"))
            {
                parts.Add(Nested(Statement));
            }
            return scope =>
            {
                foreach (var part in parts)
                {
                    part(scope);
                }
            };
        }

        private Action<JinjaScope> Statement()
        {
            if (Now.Kind == JinjaKind.Text)
            {
                var (text, at) = (Now.Text, Take().Line);
                return scope => scope.Work.Write(text, at);
            }
            if (Take().Text == "{{")
            {
                var (value, line) = (Whole(Expression), Now.Line);
                Expect(JinjaKind.Close, "}}");
                return scope => scope.Work.Write(JinjaValues.Text(value(scope), scope.At(line)), line);
            }
            var keyword = Take();
            return keyword.Text switch
            {
                "if" => If(),
                "for" => For(),
                "set" => Set(),
                "generation" => Generation(),
                _ => throw JinjaException.At(keyword.Line, $"the statement '{keyword.Text}' is not supported"),
            };
        }

        private Action<JinjaScope> If()
        {
            var condition = Whole(Expression);
            EndTag();
            var (then, otherwise) = (Body(), (Action<JinjaScope>?)null);
            Expect(JinjaKind.Open, "{%");
            if (TakeWord("elif"))
            {
                otherwise = Nested(If);
            }
            else
            {
                if (TakeWord("else"))
                {
                    EndTag();
                    otherwise = Body();
                    Expect(JinjaKind.Open, "{%");
                }
                Expect(JinjaKind.Name, "endif");
                EndTag();
            }
            return scope => (JinjaValues.IsTrue(condition(scope)) ? then : otherwise)?.Invoke(scope);
        }

        private Action<JinjaScope> For()
        {
            var names = new List<string> { TakeName() };
            while (TakeSign(","))
            {
                names.Add(TakeName());
            }
            var line = Now.Line;
            Expect(JinjaKind.Name, "in");
            var list = Whole(Or); // an if behind it chooses among its items
            var chosen = TakeWord("if") ? Whole(Expression) : null;
            EndTag();
            var body = Body();
            Expect(JinjaKind.Open, "{%");
            Expect(JinjaKind.Name, "endfor");
            EndTag();
            return scope =>
            {
                var items = JinjaValues.Items(list(scope), scope.At(line));
                items = chosen is null ? items : items.FindAll(item => JinjaValues.IsTrue(chosen(With(scope, item))));
                for (var i = 0; i < items.Count; i++)
                {
                    var inner = With(scope, items[i]);
                    inner["loop"] = Loop(items, i);
                    body(inner);
                }
            };

            JinjaScope With(JinjaScope scope, object? item)
            {
                var inner = scope.Inner(line);
                for (var n = 0; n < names.Count; n++)
                {
                    inner[names[n]] = names.Count == 1 ? item : JinjaValues.Item(item, (long)n, scope.At(line));
                }
                return inner;
            }
        }

        private static Dictionary<string, object?> Loop(List<object?> items, int i) => new()
        {
            ["index0"] = (long)i,
            ["index"] = i + 1L,
            ["revindex0"] = items.Count - 1L - i,
            ["revindex"] = (long)items.Count - i,
            ["depth0"] = 0L, // of recursive loops, which are not supported
            ["depth"] = 1L,
            ["length"] = (long)items.Count,
            ["first"] = i == 0,
            ["last"] = i == items.Count - 1,
            ["previtem"] = i > 0 ? items[i - 1] : new JinjaUndefined("loop.previtem"),
            ["nextitem"] = i + 1 < items.Count ? items[i + 1] : new JinjaUndefined("loop.nextitem"),
        };

        private Action<JinjaScope> Set()
        {
            var (name, line) = (TakeName(), Now.Line);
            var member = TakeSign(".") ? TakeName() : null;
            if (member is null && Is(JinjaKind.Close, "%}"))
            {
                throw JinjaException.At(line, "the statement 'set' without a value is not supported");
            }
            Expect(JinjaKind.Operator, "=");
            var value = Whole(Expression);
            EndTag();
            return scope =>
            {
                if (member is null)
                {
                    scope[name] = value(scope);
                }
                else if (scope[name] is JinjaNamespace space)
                {
                    space[member] = value(scope);
                }
                else
                {
                    throw JinjaException.At(line, $"'{name}' is no namespace");
                }
            };
        }

        // Marks what an assistant wrote, for masks of losses.
        private Action<JinjaScope> Generation()
        {
            var line = Now.Line;
            EndTag();
            var body = Body();
            Expect(JinjaKind.Open, "{%");
            Expect(JinjaKind.Name, "endgeneration");
            EndTag();
            return scope =>
            {
                scope.Work.Step(1, line);
                body(scope);
            };
        }

        private void EndTag() => Expect(JinjaKind.Close, "%}");
    }
}
