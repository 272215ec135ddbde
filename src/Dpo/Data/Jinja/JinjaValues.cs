using System.Globalization;

namespace TinyDpo.Dpo;

/// <summary>
/// What can be done with values of a template: text (string), numbers (long), truth (bool), none (null), lists (List of values) and mappings
/// (Dictionary by string), as in Python.
/// </summary>
internal static class JinjaValues
{
    private const int MostLength = 1 << 24, MostDepth = 64;

    public static bool IsTrue(object? value) => value switch
    {
        null or JinjaUndefined => false,
        bool truth => truth,
        long number => number != 0,
        string text => text.Length > 0,
        List<object?> list => list.Count > 0,
        Dictionary<string, object?> mapping => mapping.Count > 0,
        _ => true,
    };

    public static string Text(object? value, int line) => value switch
    {
        null => "None",
        JinjaUndefined => "",
        bool truth => truth ? "True" : "False",
        long number => number.ToString(CultureInfo.InvariantCulture),
        string text => text,
        _ => throw JinjaException.At(line, $"{Name(value)} cannot be printed here"),
    };

    /// <exception cref="JinjaException">The values are nested too deep for the stack; those of a conversation's template are not.</exception>
    public static bool AreEqual(object? a, object? b, int line, int depth = 0)
    {
        if (depth > MostDepth)
        {
            throw JinjaException.At(line, $"values nested more than {MostDepth} deep are compared");
        }
        return (a, b) switch
        {
            (JinjaNamespace, _) or (_, JinjaNamespace) => ReferenceEquals(a, b),
            (List<object?> x, List<object?> y) => x.Count == y.Count && x.Zip(y).All(pair => AreEqual(pair.First, pair.Second, line, depth + 1)),
            (Dictionary<string, object?> x, Dictionary<string, object?> y) =>
                x.Count == y.Count && x.All(pair => y.TryGetValue(pair.Key, out var other) && AreEqual(pair.Value, other, line, depth + 1)),
            (JinjaUndefined, JinjaUndefined) => true,
            (bool x, long y) => (x ? 1 : 0) == y,
            (long x, bool y) => x == (y ? 1 : 0),
            _ => Equals(a, b),
        };
    }

    public static object Arithmetic(string sign, object? a, object? b, int line) => (sign, a, b) switch
    {
        ("+", string x, string y) => Sum(x, y, line),
        ("+", List<object?> x, List<object?> y) => Sum(x, y, line),
        ("//" or "%", long, 0L) => throw JinjaException.At(line, "a number is divided by zero"),
        (_, long x, long y) => Arithmetic(sign, x, y) is var result && result >= long.MinValue && result <= long.MaxValue
            ? (long)result
            : throw JinjaException.At(line, "a number is out of range"),
        _ => throw JinjaException.At(line, $"{sign} does not go with {Name(a)} and {Name(b)}"),
    };

    // In twice the bits, where nothing overflows; quotients are rounded down, as Python's.
    private static Int128 Arithmetic(string sign, Int128 x, Int128 y)
    {
        var turned = sign is "//" or "%" && x % y != 0 && x < 0 != y < 0;
        return sign switch
        {
            "+" => x + y,
            "-" => x - y,
            "*" => x * y,
            "//" => (x / y) - (turned ? 1 : 0),
            _ => (x % y) + (turned ? y : 0),
        };
    }

    public static bool Compare(string sign, object? a, object? b, int line)
    {
        switch (sign)
        {
            case "==":
                return AreEqual(a, b, line);
            case "!=":
                return !AreEqual(a, b, line);
            case "in":
                return Contains(b, a, line);
            case "not in":
                return !Contains(b, a, line);
        }
        var order = (a, b) switch
        {
            (long x, long y) => x.CompareTo(y),
            (string x, string y) => string.CompareOrdinal(x, y),
            _ => throw JinjaException.At(line, $"{sign} does not go with {Name(a)} and {Name(b)}"),
        };
        return sign switch { "<" => order < 0, ">" => order > 0, "<=" => order <= 0, _ => order >= 0 };
    }

    /// <summary>container[key], or container.key.</summary>
    public static object? Item(object? container, object? key, int line) => (container, key) switch
    {
        (Dictionary<string, object?> mapping, string name) => mapping.TryGetValue(name, out var value) ? value : new JinjaUndefined(name),
        (List<object?> list, long index) => Within(index, list.Count) is { } at ? list[at] : new JinjaUndefined($"[{index}]"),
        (string text, long index) => Within(index, text.Length) is { } at ? text[at].ToString() : new JinjaUndefined($"[{index}]"),
        (JinjaUndefined undefined, _) => throw JinjaException.At(line, $"'{undefined.Name}' is undefined"),
        _ => new JinjaUndefined(key as string ?? "an item"),
    };

    /// <summary>container[start:stop:step].</summary>
    public static object Slice(object? container, object? start, object? stop, object? step, int line)
    {
        var length = container switch
        {
            string text => text.Length,
            List<object?> list => list.Count,
            _ => throw JinjaException.At(line, $"{Name(container)} cannot be cut"),
        };
        var stride = Bound(step) ?? 1;
        if (stride == 0)
        {
            throw JinjaException.At(line, "a slice cannot have a step of 0");
        }
        var (first, last) = stride > 0 ? (0L, (long)length) : (length - 1L, -1L);
        var from = Bound(start) is { } s ? Clamp(s) : first;
        var to = Bound(stop) is { } e ? Clamp(e) : last;
        // A longer step leads out as well, and would overflow.
        stride = Math.Clamp(stride, -length - 1L, length + 1L);
        var count = (int)Math.Max(0, (to - from + stride - Math.Sign(stride)) / stride);
        return container is string t
            ? string.Create(count, (t, from, stride), static (cut, of) =>
            {
                for (var i = 0; i < cut.Length; i++)
                {
                    cut[i] = of.t[(int)(of.from + (i * of.stride))];
                }
            })
            : Enumerable.Range(0, count).Select(i => ((List<object?>)container!)[(int)(from + (i * stride))]).ToList();

        long Clamp(long bound) => Math.Clamp(bound < 0 ? bound + length : bound, stride > 0 ? 0 : -1, stride > 0 ? length : length - 1);

        long? Bound(object? value) => value switch
        {
            null => null,
            long number => number,
            _ => throw JinjaException.At(line, $"{Name(value)} is no place to cut"),
        };
    }

    public static List<object?> Items(object? value, int line) => value switch
    {
        List<object?> list => list,
        JinjaUndefined => [],
        Dictionary<string, object?> mapping => [.. mapping.Keys],
        string text => [.. text.Select(static c => c.ToString())],
        _ => throw JinjaException.At(line, $"{Name(value)} cannot be gone through"),
    };

    public static string Name(object? value) => value switch
    {
        null => "none",
        JinjaUndefined undefined => $"'{undefined.Name}', which is undefined,",
        bool => "a truth value",
        long => "a number",
        string => "a string",
        List<object?> => "a list",
        Dictionary<string, object?> => "a mapping",
        _ => "a function",
    };

    /// <exception cref="JinjaException">A value is so long that only a hostile template asks for it.</exception>
    public static void RequireModest(long length, int line)
    {
        if (length > MostLength)
        {
            throw JinjaException.At(line, $"a value is longer than {MostLength}");
        }
    }

    public static string Sum(string a, string b, int line)
    {
        RequireModest((long)a.Length + b.Length, line);
        return a + b;
    }

    private static List<object?> Sum(List<object?> a, List<object?> b, int line)
    {
        RequireModest((long)a.Count + b.Count, line);
        return [.. a, .. b];
    }

    private static bool Contains(object? container, object? value, int line) => container switch
    {
        string text when value is string part => text.Contains(part, StringComparison.Ordinal),
        List<object?> list => list.Exists(item => AreEqual(item, value, line)),
        Dictionary<string, object?> mapping => value is string key && mapping.ContainsKey(key),
        JinjaUndefined => false,
        _ => throw JinjaException.At(line, $"'in' does not go with {Name(value)} and {Name(container)}"),
    };

    private static int? Within(long index, int count)
    {
        index += index < 0 ? count : 0;
        return index >= 0 && index < count ? (int)index : null;
    }
}

/// <summary>The one mapping that a template can change, so the one that can hold itself; equal to itself alone, as in Jinja.</summary>
internal sealed class JinjaNamespace(Dictionary<string, object?> values) : Dictionary<string, object?>(values);
