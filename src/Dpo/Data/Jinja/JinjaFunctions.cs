namespace TinyDpo.Dpo;

/// <summary>The filters, tests and methods that templates of conversations use; another is an error where it is reached.</summary>
internal static class JinjaFunctions
{
    /// <summary>value | name(arguments).</summary>
    public static object? Filter(string name, object? value, List<object?> arguments, JinjaPlace at) => (name, value) switch
    {
        ("trim", string) => Method(value, "strip", [], at),
        ("trim", JinjaUndefined) => "",
        ("upper" or "lower", string) => Method(value, name, [], at),
        ("string", _) => JinjaValues.Text(value, at),
        ("length" or "count", string text) => (long)text.Length,
        ("length" or "count", Dictionary<string, object?> mapping) => (long)mapping.Count,
        ("length" or "count", List<object?> or JinjaUndefined) => (long)JinjaValues.Items(value, at).Count,
        ("list", _) => Copy(JinjaValues.Items(value, at), at),
        ("first" or "last", string text) => JinjaValues.Item(text, name == "first" ? 0L : -1L, at),
        ("first", _) => JinjaValues.Item(JinjaValues.Items(value, at), 0L, at),
        ("last", _) => JinjaValues.Item(JinjaValues.Items(value, at), -1L, at),
        ("join", _) => Join(arguments is [string separator, ..] ? separator : "", JinjaValues.Items(value, at), at),
        ("default" or "d", JinjaUndefined) => arguments is [var other, ..] ? other : "",
        ("default" or "d", _) => value,
        ("replace", string) => Method(value, "replace", arguments, at),
        ("selectattr" or "rejectattr", _) when arguments is [string key, string test, ..] => Copy(JinjaValues.Items(value, at), at)
            .FindAll(item => Test(test, JinjaValues.Item(item, key, at), [.. arguments.Skip(2)], at) == (name == "selectattr")),
        ("items", _) => Method(value, "items", arguments, at),
        _ => throw at.Fault($"the filter '{name}' on {JinjaValues.Name(value)} is not supported"),
    };

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
    public static bool Test(string name, object? value, List<object?> arguments, JinjaPlace at) => name switch
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
        "equalto" or "eq" when arguments is [var other] => JinjaValues.AreEqual(value, other, at),
        "in" when arguments is [var container] => JinjaValues.Compare("in", value, container, at),
        _ => throw at.Fault($"the test '{name}' is not supported"),
    };

    /// <summary>value.name(arguments), as Python's strings and mappings have it.</summary>
    public static object? Method(object? value, string name, List<object?> arguments, JinjaPlace at) => (value, name, arguments) switch
    {
        (string text, "strip" or "lstrip" or "rstrip", []) => Strip(text, name, null, at),
        (string text, "strip" or "lstrip" or "rstrip", [string characters]) => Strip(text, name, characters, at),
        (string text, "upper", []) => Made(text, at).ToUpperInvariant(),
        (string text, "lower", []) => Made(text, at).ToLowerInvariant(),
        (string text, "startswith", [string part]) => Looked(text, part, at).StartsWith(part, StringComparison.Ordinal),
        (string text, "endswith", [string part]) => Looked(text, part, at).EndsWith(part, StringComparison.Ordinal),
        (string text, "replace", [string old, string now]) when old.Length > 0 => Replace(text, old, now, at),
        (string text, "split", [string separator]) when separator.Length > 0 => Split(text, separator, at),
        (Dictionary<string, object?> mapping, "get", [string key, ..]) =>
            JinjaValues.Find(mapping, key, at, out var found) ? found : arguments.Count > 1 ? arguments[1] : null,
        (Dictionary<string, object?> mapping, "items", []) =>
            Copy([.. Copy(mapping.Keys, at).Select(key => Copy([key, mapping[(string)key!]], at))], at),
        (Dictionary<string, object?> mapping, "keys", []) => Copy(mapping.Keys, at),
        (Dictionary<string, object?> mapping, "values", []) => Copy(mapping.Values, at),
        (JinjaUndefined undefined, _, _) => throw at.Fault($"'{undefined.Name}' is undefined"),
        _ => throw at.Fault($"the method '{name}' of {JinjaValues.Name(value)} is not supported"),
    };

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

    private static string Replace(string text, string old, string now, JinjaPlace at)
    {
        at.Search(text, old);
        at.Make(text.Length + (text.AsSpan().Count(old) * ((long)now.Length - old.Length)));
        return text.Replace(old, now, StringComparison.Ordinal);
    }

    private static List<object?> Split(string text, string separator, JinjaPlace at)
    {
        at.Search(text, separator);
        at.MakeList(text.AsSpan().Count(separator) + 1L);
        at.Make(text.Length);
        return [.. text.Split(separator)];
    }

    /// <summary>name(arguments).</summary>
    public static object? Call(string name, List<object?> arguments, Dictionary<string, object?> named, JinjaPlace at) => (name, arguments) switch
    {
        ("raise_exception", [string message]) => throw new JinjaException(message),
        ("namespace", []) => new JinjaNamespace(named),
        ("dict", []) => named,
        _ => throw at.Fault($"the function '{name}' is not supported"),
    };
}
