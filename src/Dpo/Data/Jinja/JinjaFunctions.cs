namespace TinyDpo.Dpo;

/// <summary>The filters, tests and methods that templates of conversations use; another is an error where it is reached.</summary>
internal static class JinjaFunctions
{
    /// <summary>value | name(arguments).</summary>
    public static object? Filter(string name, object? value, List<object?> arguments, int line) => (name, value) switch
    {
        ("trim", string text) => text.Trim(),
        ("trim", JinjaUndefined) => "",
        ("upper", string text) => text.ToUpperInvariant(),
        ("lower", string text) => text.ToLowerInvariant(),
        ("string", _) => JinjaValues.Text(value, line),
        ("length" or "count", string text) => (long)text.Length,
        ("length" or "count", Dictionary<string, object?> mapping) => (long)mapping.Count,
        ("length" or "count", List<object?> or JinjaUndefined) => (long)JinjaValues.Items(value, line).Count,
        ("list", _) => new List<object?>(JinjaValues.Items(value, line)),
        ("first", _) => JinjaValues.Item(JinjaValues.Items(value, line), 0L, line),
        ("last", _) => JinjaValues.Item(JinjaValues.Items(value, line), -1L, line),
        ("join", _) => Join(arguments is [string separator, ..] ? separator : "", [.. JinjaValues.Items(value, line).Select(item => JinjaValues.Text(item, line))], line),
        ("default" or "d", JinjaUndefined) => arguments is [var other, ..] ? other : "",
        ("default" or "d", _) => value,
        ("replace", string) => Method(value, "replace", arguments, line),
        ("selectattr" or "rejectattr", _) when arguments is [string key, string test, ..] => JinjaValues.Items(value, line)
            .FindAll(item => Test(test, JinjaValues.Item(item, key, line), [.. arguments.Skip(2)], line) == (name == "selectattr")),
        ("items", _) => Method(value, "items", arguments, line),
        _ => throw JinjaException.At(line, $"the filter '{name}' on {JinjaValues.Name(value)} is not supported"),
    };

    private static string Join(string separator, string[] items, int line)
    {
        JinjaValues.RequireModest(items.Sum(static item => (long)item.Length) + ((long)items.Length * separator.Length), line);
        return string.Join(separator, items);
    }

    /// <summary>value is name(arguments).</summary>
    public static bool Test(string name, object? value, List<object?> arguments, int line) => name switch
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
        "equalto" or "eq" when arguments is [var other] => JinjaValues.AreEqual(value, other, line),
        "in" when arguments is [var container] => JinjaValues.Compare("in", value, container, line),
        _ => throw JinjaException.At(line, $"the test '{name}' is not supported"),
    };

    /// <summary>value.name(arguments), as Python's strings and mappings have it.</summary>
    public static object? Method(object? value, string name, List<object?> arguments, int line) => (value, name, arguments) switch
    {
        (string text, "strip", []) => text.Trim(),
        (string text, "lstrip", []) => text.TrimStart(),
        (string text, "rstrip", []) => text.TrimEnd(),
        (string text, "strip", [string characters]) => text.Trim(characters.ToCharArray()),
        (string text, "lstrip", [string characters]) => text.TrimStart(characters.ToCharArray()),
        (string text, "rstrip", [string characters]) => text.TrimEnd(characters.ToCharArray()),
        (string text, "upper", []) => text.ToUpperInvariant(),
        (string text, "lower", []) => text.ToLowerInvariant(),
        (string text, "startswith", [string part]) => text.StartsWith(part, StringComparison.Ordinal),
        (string text, "endswith", [string part]) => text.EndsWith(part, StringComparison.Ordinal),
        (string text, "replace", [string old, string now]) when old.Length > 0 => Replace(text, old, now, line),
        (string text, "split", [string separator]) when separator.Length > 0 => new List<object?>(text.Split(separator)),
        (Dictionary<string, object?> mapping, "get", [string key, ..]) =>
            mapping.TryGetValue(key, out var found) ? found : arguments.Count > 1 ? arguments[1] : null,
        (Dictionary<string, object?> mapping, "items", []) =>
            new List<object?>(mapping.Select(static pair => new List<object?> { pair.Key, pair.Value })),
        (Dictionary<string, object?> mapping, "keys", []) => new List<object?>(mapping.Keys),
        (Dictionary<string, object?> mapping, "values", []) => new List<object?>(mapping.Values),
        (JinjaUndefined undefined, _, _) => throw JinjaException.At(line, $"'{undefined.Name}' is undefined"),
        _ => throw JinjaException.At(line, $"the method '{name}' of {JinjaValues.Name(value)} is not supported"),
    };

    private static string Replace(string text, string old, string now, int line)
    {
        JinjaValues.RequireModest(Math.Max(text.Length, (long)text.Length / old.Length * now.Length), line);
        return text.Replace(old, now, StringComparison.Ordinal);
    }

    /// <summary>name(arguments).</summary>
    public static object? Call(string name, List<object?> arguments, Dictionary<string, object?> named, int line) => (name, arguments) switch
    {
        ("raise_exception", [string message]) => throw new JinjaException(message),
        ("namespace", []) => new JinjaNamespace(named),
        ("dict", []) => named,
        _ => throw JinjaException.At(line, $"the function '{name}' is not supported"),
    };
}
