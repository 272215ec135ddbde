using System.Globalization;

namespace TinyDpo.Dpo;

/// <summary>The filters, tests and methods that templates of conversations use; another is an error where it is reached.</summary>
internal static class JinjaFunctions
{
    private static readonly JinjaParameter s_required = new("", JinjaParameter.Required);

    private static readonly Dictionary<string, JinjaParameter[]> s_filters = new()
    {
        ["trim"] = [new("chars", null)],
        ["upper"] = [],
        ["lower"] = [],
        ["string"] = [],
        ["length"] = [],
        ["count"] = [],
        ["list"] = [],
        ["first"] = [],
        ["last"] = [],
        ["join"] = [new("d", ""), new("attribute", null)],
        ["default"] = [new("default_value", ""), new("boolean", false)],
        ["d"] = [new("default_value", ""), new("boolean", false)],
        ["replace"] = [new("old", JinjaParameter.Required), new("new", JinjaParameter.Required), new("count", null)],
        ["items"] = [],
    };

    private static readonly Dictionary<string, JinjaParameter[]> s_methods = new()
    {
        ["strip"] = [new("", null)],
        ["lstrip"] = [new("", null)],
        ["rstrip"] = [new("", null)],
        ["upper"] = [],
        ["lower"] = [],
        ["startswith"] = [s_required],
        ["endswith"] = [s_required],
        ["replace"] = [s_required, s_required, new("", -1L)],
        ["split"] = [new("sep", null), new("maxsplit", -1L)],
        ["get"] = [s_required, new("", null)],
        ["items"] = [],
        ["keys"] = [],
        ["values"] = [],
    };

    /// <summary>value | name(arguments).</summary>
    public static object? Filter(string name, object? value, JinjaArguments arguments, JinjaPlace at)
    {
        if (name is "selectattr" or "rejectattr")
        {
            return Select(name, value, arguments, at);
        }
        var given = s_filters.TryGetValue(name, out var parameters) ? arguments.Bind($"the filter '{name}'", parameters, at) : [];
        return (name, value, given) switch
        {
            ("trim", _, [null or string]) => Strip(JinjaValues.Text(value, at), "strip", given[0] as string, at),
            ("upper", _, _) => Made(JinjaValues.Text(value, at), at).ToUpperInvariant(),
            ("lower", _, _) => Made(JinjaValues.Text(value, at), at).ToLowerInvariant(),
            ("string", _, _) => JinjaValues.Text(value, at),
            ("length" or "count", string text, _) => (long)text.Length,
            ("length" or "count", Dictionary<string, object?> mapping, _) => (long)mapping.Count,
            ("length" or "count", List<object?> or JinjaUndefined, _) => (long)JinjaValues.Items(value, at).Count,
            ("list", _, _) => Copy(JinjaValues.Items(value, at), at),
            ("first" or "last", string or List<object?>, _) => JinjaValues.Item(value, name == "first" ? 0L : -1L, at),
            ("first" or "last", _, _) => JinjaValues.Item(JinjaValues.Items(value, at), name == "first" ? 0L : -1L, at),
            ("join", _, [var separator, null]) => Join(JinjaValues.Text(separator, at), JinjaValues.Items(value, at), at),
            ("join", _, [var separator, var key]) =>
                Join(JinjaValues.Text(separator, at), [.. Copy(JinjaValues.Items(value, at), at).Select(Attribute(key, at))], at),
            ("default" or "d", _, [var other, var boolean]) =>
                value is JinjaUndefined || (JinjaValues.IsTrue(boolean) && !JinjaValues.IsTrue(value)) ? other : value,
            ("replace", _, [string { Length: > 0 } old, string now, null or long]) => Replace(JinjaValues.Text(value, at), old, now, given[2] as long? ?? -1, at),
            ("items", Dictionary<string, object?> mapping, _) => Pairs(mapping, at),
            ("items", JinjaUndefined, _) => new List<object?>(),
            _ => throw at.Fault($"the filter '{name}' on {JinjaValues.Name(value)}{With(given)} is not supported"),
        };
    }

    private static string With(object?[] given) => given.Length == 0 ? "" : " with " + string.Join(" and ", given.Select(JinjaValues.Name));

    // selectattr and rejectattr: what is behind the test's name is the test's.
    private static List<object?> Select(string name, object? value, JinjaArguments arguments, JinjaPlace at)
    {
        if (arguments.Items.Count == 0)
        {
            throw at.Fault($"the filter '{name}' lacks the attribute's name");
        }
        var attribute = Attribute(arguments.Items[0], at);
        Func<object?, bool> chooses = JinjaValues.IsTrue;
        if (arguments.Items.Count > 1)
        {
            var test = arguments.Items[1] as string ?? throw at.Fault($"the filter '{name}' takes the name of a test, not {JinjaValues.Name(arguments.Items[1])}");
            var its = arguments with { Items = arguments.Items[2..] };
            chooses = item => Test(test, item, its, at);
        }
        else
        {
            (arguments with { Items = [] }).Bind($"the filter '{name}' without a test", [], at);
        }
        return Copy(JinjaValues.Items(value, at), at).FindAll(item => chooses(attribute(item)) == (name == "selectattr"));
    }

    // An attribute may be a path of names and places, with points between.
    private static Func<object?, object?> Attribute(object? key, JinjaPlace at)
    {
        List<object?> path = key is string text ? Split(text, ".", -1, at) : [key];
        path = path.ConvertAll(static part => part is string name && long.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : part);
        return item =>
        {
            at.MakeList(path.Count);
            return path.Aggregate(item, (container, part) => JinjaValues.Item(container, part, at));
        };
    }

    private static string Join(string separator, List<object?> items, JinjaPlace at)
    {
        string[] texts = [.. Copy(items, at).Select(item => JinjaValues.Text(item, at))];
        at.Make(texts.Sum(static text => (long)text.Length) + ((long)texts.Length * separator.Length));
        return string.Join(separator, texts);
    }

    private static List<object?> Copy(IReadOnlyCollection<object?> items, JinjaPlace at)
    {
        at.MakeList(items.Count);
        return [.. items];
    }

    /// <summary>value is name(arguments).</summary>
    public static bool Test(string name, object? value, JinjaArguments arguments, JinjaPlace at)
    {
        JinjaParameter[] parameters = name switch
        {
            "equalto" or "eq" => [s_required],
            "in" => [new("seq", JinjaParameter.Required)],
            "defined" or "undefined" or "none" or "string" or "mapping" or "boolean" or "number" or "integer" or "iterable" or "sequence"
                or "true" or "false" or "even" or "odd" => [],
            _ => throw at.Fault($"the test '{name}' is not supported"),
        };
        var given = arguments.Bind($"the test '{name}'", parameters, at);
        return name switch
        {
            "defined" => value is not JinjaUndefined,
            "undefined" => value is JinjaUndefined,
            "none" => value is null,
            "string" => value is string,
            "mapping" => value is Dictionary<string, object?>,
            "boolean" => value is bool,
            "number" or "integer" => value is long,
            "iterable" or "sequence" => value is string or List<object?> or Dictionary<string, object?>,
            "true" => value is true,
            "false" => value is false,
            "even" => value is long number && number % 2 == 0,
            "odd" => value is long number && number % 2 != 0,
            "in" => JinjaValues.Compare("in", value, given[0], at),
            _ => JinjaValues.AreEqual(value, given[0], at),
        };
    }

    /// <summary>value.name(arguments), as Python's strings and mappings have it.</summary>
    public static object? Method(object? value, string name, JinjaArguments arguments, JinjaPlace at)
    {
        if (value is JinjaUndefined undefined)
        {
            throw at.Fault($"'{undefined.Name}' is undefined");
        }
        var given = s_methods.TryGetValue(name, out var parameters) ? arguments.Bind($"the method '{name}'", parameters, at) : [];
        return (value, name, given) switch
        {
            (string text, "strip" or "lstrip" or "rstrip", [null or string]) => Strip(text, name, given[0] as string, at),
            (string text, "upper", _) => Made(text, at).ToUpperInvariant(),
            (string text, "lower", _) => Made(text, at).ToLowerInvariant(),
            (string text, "startswith", [string part]) => Looked(text, part, at).StartsWith(part, StringComparison.Ordinal),
            (string text, "endswith", [string part]) => Looked(text, part, at).EndsWith(part, StringComparison.Ordinal),
            (string text, "replace", [string { Length: > 0 } old, string now, long count]) => Replace(text, old, now, count, at),
            (string text, "split", [string { Length: > 0 } separator, long most]) => Split(text, separator, most, at),
            (string text, "split", [null, < 0L]) => Words(text, at),
            (Dictionary<string, object?> mapping, "get", [string key, var other]) => JinjaValues.Find(mapping, key, at, out var found) ? found : other,
            (Dictionary<string, object?> mapping, "items", _) => Pairs(mapping, at),
            (Dictionary<string, object?> mapping, "keys", _) => Copy(mapping.Keys, at),
            (Dictionary<string, object?> mapping, "values", _) => Copy(mapping.Values, at),
            _ => throw at.Fault($"the method '{name}' of {JinjaValues.Name(value)}{With(given)} is not supported"),
        };
    }

    private static List<object?> Pairs(Dictionary<string, object?> mapping, JinjaPlace at) =>
        Copy([.. Copy(mapping.Keys, at).Select(key => Copy([key, mapping[(string)key!]], at))], at);

    private static string Strip(string text, string name, string? characters, JinjaPlace at)
    {
        // A set, for the characters may be as many as the text's.
        at.Look(text.Length);
        at.Make(characters?.Length ?? 0);
        var stripped = characters?.ToHashSet();
        var (from, to) = (0, text.Length);
        while (name != "rstrip" && from < to && IsStripped(text[from]))
        {
            from++;
        }
        while (name != "lstrip" && from < to && IsStripped(text[to - 1]))
        {
            to--;
        }
        at.Make(to - from);
        return text[from..to];

        bool IsStripped(char c) => stripped?.Contains(c) ?? char.IsWhiteSpace(c);
    }

    private static string Made(string text, JinjaPlace at)
    {
        at.Make(text.Length);
        return text;
    }

    private static string Looked(string text, string part, JinjaPlace at)
    {
        at.Look(Math.Min(text.Length, part.Length));
        return text;
    }

    // The first so many, or, below 0, all.
    private static string Replace(string text, string old, string now, long most, JinjaPlace at)
    {
        at.Search(text, old);
        var count = text.AsSpan().Count(old);
        if (most >= 0 && most < count)
        {
            return Join(now, Split(text, old, most, at), at);
        }
        at.Make(text.Length + (count * ((long)now.Length - old.Length)));
        return text.Replace(old, now, StringComparison.Ordinal);
    }

    private static List<object?> Split(string text, string separator, long most, JinjaPlace at)
    {
        at.Search(text, separator);
        var pieces = text.AsSpan().Count(separator) + 1;
        pieces = most < 0 ? pieces : (int)Math.Min(pieces - 1, most) + 1;
        at.MakeList(pieces);
        at.Make(text.Length);
        return [.. text.Split(separator, pieces)];
    }

    private static List<object?> Words(string text, JinjaPlace at)
    {
        at.MakeList(text.Count(char.IsWhiteSpace) + 1L);
        at.Make(text.Length);
        return [.. text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)];
    }

    /// <summary>name(arguments).</summary>
    public static object? Call(string name, JinjaArguments arguments, JinjaPlace at)
    {
        switch (name)
        {
            case "raise_exception":
                var message = arguments.Bind("the function 'raise_exception'", [new("message", JinjaParameter.Required)], at)[0];
                throw new JinjaException(JinjaValues.Text(message, at));
            case "namespace" or "dict":
                var values = arguments.Named;
                if (arguments.Items.Count > 0)
                {
                    values = [];
                    var from = (arguments with { Named = [] }).Bind($"the function '{name}'", [s_required], at)[0] as Dictionary<string, object?>
                        ?? throw at.Fault($"the function '{name}' of {JinjaValues.Name(arguments.Items[0])} is not supported");
                    at.MakeList(2L * from.Count);
                    foreach (var (key, value) in from.Concat(arguments.Named))
                    {
                        values[key] = value;
                    }
                }
                return name == "dict" ? values : new JinjaNamespace(values);
            default:
                throw at.Fault($"the function '{name}' is not supported");
        }
    }
}
